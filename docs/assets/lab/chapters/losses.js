/**
 * Chapter 9: what temperature and the teacher's weight do to the loss of distillation, and to where it pushes.
 */

import { el, radios } from "../../dom.js";
import { as_array, map } from "../../engine/arrays.js";
import { softmax } from "../../engine/layers.js";
import { cross_entropy, hard_distillation, soft_distillation } from "../../engine/losses.js";
import { button, field, slider } from "../controls.js";
import { bar, number, table } from "../tables.js";
import { frame } from "./parts.js";

/** The chapter's teacher, and the student that says the opposite with both heads. */
export const EXAMPLE = {
  teacher: [2, 1, 0],
  distillation: [0, 1, 2],
  cls: [0, 1, 2],
  label: 0,
  kind: "soft",
  alpha: 0.5,
  tau: 1,
};

/**
 * Probabilities at the temperature, the loss and its two terms, and the gradients at the student's logits.
 * @param {typeof EXAMPLE} example
 */
export function worked_out({ teacher, distillation, cls, label, kind, alpha, tau }) {
  const [of_teacher, of_distillation, of_cls] = [teacher, distillation, cls].map((logits) => as_array([logits]));
  const soft = kind === "soft";
  const given = /** @type {[any, any, any, number[]]} */ ([of_cls, of_distillation, of_teacher, [label]]);
  const loss = (/** @type {number} */ share) =>
    soft ? soft_distillation(...given, { alpha: share, tau }) : hard_distillation(...given, { alpha: share });
  const at = (/** @type {any} */ logits, /** @type {number} */ heat) => [...softmax(map((x) => x / heat, logits)).data];
  const heat = soft ? tau : 1;
  const student = at(of_distillation, heat);
  const best = teacher.indexOf(Math.max(...teacher));
  const target = soft ? at(of_teacher, tau) : teacher.map((_, k) => Number(k === best));
  // What the student says less what it should say; a soft teacher's term is divided by the number of classes.
  const weight = soft ? (alpha * tau) / teacher.length : alpha;
  return {
    teacher: target,
    student,
    cls: at(of_cls, 1),
    from_label: cross_entropy(of_cls, [label]),
    from_teacher: loss(1),
    loss: loss(alpha),
    gradient_cls: at(of_cls, 1).map((p, k) => (1 - alpha) * (p - Number(k === label))),
    gradient_distillation: student.map((p, k) => weight * (p - target[k])),
  };
}

/** @param {HTMLElement} root @param {AbortSignal} signal */
export function start(root, signal) {
  let example = structuredClone(EXAMPLE);
  const classes = EXAMPLE.teacher.map((_, k) => `class ${k}`);
  const inputs = el("div.play-matrices");
  const shares = el("div.play-shares");
  const results = el("div.inside-scroll", { tabindex: 0, role: "region", "aria-label": "The loss and its gradient" });
  const answer = el("p.play-result");
  const set = (changes) => {
    Object.assign(example, changes);
    draw();
  };
  const kind = radios("Teacher", "losses-kind", [["soft", "soft"], ["hard", "hard"]], () => example.kind, (value) => set({ kind: value }));
  const label = radios("Label", "losses-label", classes.map((name, k) => [String(k), name]), () => String(example.label), (k) =>
    set({ label: Number(k) }),
  );
  const tau = slider({
    label: "Temperature τ",
    min: 0.25,
    max: 40,
    value: example.tau,
    log: true,
    text: (value) => number(value, value < 10 ? 2 : 1),
    change: (value) => set({ tau: value }),
  });
  const alpha = slider({
    label: "Teacher’s weight α",
    min: 0,
    max: 1,
    value: example.alpha,
    text: (value) => number(value),
    change: (value) => set({ alpha: value }),
  });
  const say = frame(
    root,
    "Distillation with numbers that you can change",
    "Set α to 1 and raise τ from 1 to 40: the shares become nearly equal. What becomes of the loss, and of the length of " +
      "the gradient at the distillation head? Then make its logits 12, 11 and 10, and τ as you like. Why is the loss 0?",
    signal,
    inputs,
    el("div.play-row", {}, kind.element, label.element),
    el("div.play-row", {}, tau.element, alpha.element),
    shares,
    results,
    answer,
    el("div.lab-buttons", {}, button("Back to the chapter’s numbers", () => fill(EXAMPLE))),
  );

  function fill(next) {
    example = structuredClone(next);
    const titles = { teacher: "Teacher’s logits", distillation: "Distillation head’s logits", cls: "Class head’s logits" };
    inputs.replaceChildren(
      ...Object.entries(titles).map(([key, title]) =>
        el(
          "fieldset.play-matrix",
          {},
          el("legend", {}, title),
          el(
            "div.play-numbers",
            {},
            ...example[key].map((value, k) => field(`${title}, ${classes[k]}`, value, (now) => {
              example[key][k] = now;
              draw();
            })),
          ),
        ),
      ),
    );
    kind.update();
    label.update();
    tau.put(example.tau);
    alpha.put(example.alpha);
    draw();
  }

  function draw() {
    const found = worked_out(example);
    const soft = example.kind === "soft";
    root.dataset.loss = String(found.loss);
    tau.element.querySelector("input").disabled = !soft;
    const rows = classes.map((name, k) => {
      const [teacher, student] = [found.teacher[k], found.student[k]];
      const words = [el("b", {}, name), el("span", {}, `teacher ${number(teacher)}`), bar(teacher)];
      return el("li", {}, ...words, el("span", {}, `student ${number(student)}`), bar(student, "dist"));
    });
    shares.replaceChildren(el("ol", { "aria-label": "Shares at the temperature" }, ...rows));
    const signed = (value) => `${value > 0 ? "+" : ""}${number(value, 3)}`;
    results.replaceChildren(
      table(
        "The gradient: training moves each logit the other way.",
        ["", ...classes, "length"],
        [
          ["class head", ...found.gradient_cls.map(signed), number(Math.hypot(...found.gradient_cls), 3)],
          ["distillation head", ...found.gradient_distillation.map(signed), number(Math.hypot(...found.gradient_distillation), 3)],
        ],
      ),
    );
    const { alpha: share } = example;
    const told =
      `Loss ${number(found.loss, 4)} = ${number(1 - share)} · ${number(found.from_label, 4)} from the label + ` +
      `${number(share)} · ${number(found.from_teacher, 4)} from the teacher.`;
    answer.textContent = told;
    say(told);
  }

  fill(EXAMPLE);
}
