"""A class that nobody teaches: each student writes the solution of an assignment in a way of their own.

The reference is rewritten at random, so that it still computes the same: parts of expressions get names, operators
become functions of NumPy and methods functions, choices become branches. Nobody copies from anybody, unless
`copied` is asked for: other names, no comments, another order of definitions, values named elsewhere.
"""

import ast
import copy
import random

from deit_ref.course import cut
from deit_ref.course.task import messages

OPERATORS = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.MatMult: "matmul"}
METHODS = {"reshape", "transpose", "mean", "sum", "max"}
WHOLE = (ast.Lambda, ast.IfExp, ast.BoolOp, ast.ListComp, ast.GeneratorExp, ast.DictComp, ast.SetComp, ast.Starred)


def solution(assignment):
    return cut.release(messages(assignment), solved=True).student


def own_way(text, seed):
    """The module as one student would have written it."""
    drawn = random.Random(seed)
    tree = ast.parse(text)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            habits = _Habits(drawn)
            node.body = [line for statement in node.body for line in habits.lines(statement)]
            node.returns = None
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def copied(text, seed):
    """The same with other names of variables, in another order, and with numbers that have names."""
    drawn = random.Random(seed)
    tree = ast.parse(text)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            local = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            names = {name: f"my_{drawn.randrange(10**6)}" for name in sorted(local)}
            for inner in ast.walk(node):
                if isinstance(inner, ast.Name) and inner.id in names:
                    inner.id = names[inner.id]
            if ast.get_docstring(node) is not None:
                node.body[0].value = ast.Constant("All of this is mine.")
    heads = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    drawn.shuffle(functions)
    number = _Numbers()
    functions = [number.visit(node) for node in functions]
    lines = ast.parse("\n".join(f"{name} = {value!r}" for name, value in number.found.items())).body
    return ast.unparse(ast.fix_missing_locations(ast.Module([*heads, *lines, *functions], []))) + "\n"


class _Numbers(ast.NodeTransformer):
    def __init__(self):
        self.found = {}

    def visit_FunctionDef(self, node):
        node.body = [self.visit(line) for line in node.body]  # defaults stay
        return node

    def visit_Constant(self, node):
        if type(node.value) is not float:
            return node
        name = f"NUMBER_{len(self.found)}"
        self.found[name] = node.value
        return ast.Name(name, ast.Load())


class _Habits(ast.NodeTransformer):
    """How often one student does what."""

    def __init__(self, drawn):
        self.drawn = drawn
        self.named, self.functions, self.methods, self.branches = (drawn.random() ** 2 for _ in range(4))
        self.count, self.before = 0, []

    def lines(self, statement):
        if isinstance(statement, ast.For | ast.If | ast.With):
            statement.body = [line for inner in statement.body for line in self.lines(inner)]
            return [statement]
        if isinstance(statement, ast.Assign | ast.Return) and isinstance(statement.value, ast.IfExp):
            return self._branches(statement)
        if not isinstance(statement, ast.Assign | ast.Return) or statement.value is None:
            return [statement]
        self.before = []
        statement.value = self.visit(statement.value)
        return [*self.before, statement]

    def _branches(self, statement):
        if self.drawn.random() > self.branches:
            return [statement]
        choice = statement.value
        yes, no = copy.deepcopy(statement), copy.deepcopy(statement)
        yes.value, no.value = choice.body, choice.orelse
        return [ast.If(choice.test, [yes], [no])]

    def visit(self, node):
        if isinstance(node, WHOLE):
            return node
        node = self.generic_visit(node)
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS and self.drawn.random() < self.functions:
            node = _call(OPERATORS[type(node.op)], node.left, node.right)
        if self._is_method(node) and self.drawn.random() < self.methods:
            arguments = node.args
            if node.func.attr in ("reshape", "transpose") and len(arguments) > 1:
                arguments = [ast.Tuple(arguments, ast.Load())]
            node = _call(node.func.attr, node.func.value, *arguments, keywords=node.keywords)
        if isinstance(node, ast.BinOp | ast.Call) and self.drawn.random() < self.named:
            self.count += 1
            name = f"part_{self.count}"
            self.before.append(ast.Assign([ast.Name(name, ast.Store())], node))
            return ast.Name(name, ast.Load())
        return node

    @staticmethod
    def _is_method(node):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS):
            return False
        return not (isinstance(node.func.value, ast.Name) and node.func.value.id == "np")


def _call(name, *arguments, keywords=()):
    return ast.Call(ast.Attribute(ast.Name("np", ast.Load()), name, ast.Load()), list(arguments), list(keywords))
