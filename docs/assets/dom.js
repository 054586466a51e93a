// What pages that answer a click are built of: elements, grids that arrow keys walk through, and the address.

/** A new element: el("p.note", {title: "x", onclick: f}, "text", child). */
export function el(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/**
 * Keeps the view of a page in its address's query (what stands after #, Material's navigation overwrites while one
 * scrolls), but not in the address of another page, which is there before this one ends.
 */
export function addressKeeper() {
  const { pathname } = location;
  return (values) => {
    if (location.pathname !== pathname) return;
    const address = new URL(location.href);
    address.search = String(new URLSearchParams(values));
    history.replaceState(history.state, "", address);
  };
}

export const fromAddress = () => Object.fromEntries(new URLSearchParams(location.search));

/** Arrow keys, Home and End move the focus over a grid of cells (rows of elements); one of them is a tab stop. */
export function roving(cells, event) {
  const row = cells.findIndex((line) => line.includes(event.target));
  if (row < 0) return;
  const column = cells[row].indexOf(event.target);
  const last = cells[row].length - 1;
  const moves = {
    ArrowLeft: [row, column - 1],
    ArrowRight: [row, column + 1],
    ArrowUp: [row - 1, column],
    ArrowDown: [row + 1, column],
    Home: event.ctrlKey ? [0, 0] : [row, 0],
    End: event.ctrlKey ? [cells.length - 1, last] : [row, last],
    PageUp: [0, column],
    PageDown: [cells.length - 1, column],
  };
  if (!moves[event.key] || event.altKey || event.metaKey) return;
  event.preventDefault();
  const [toRow, toColumn] = moves[event.key];
  const next = cells[toRow]?.[toColumn];
  if (!next) return;
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

/**
 * One of several, as pills: options are [value, text]; `update()` checks that of `current()`.
 */
export function radios(legend, name, options, current, choose) {
  const inputs = options.map(([value, text]) => {
    const input = el("input", { type: "radio", name: `inside-${name}`, value, onchange: () => choose(value) });
    input.checked = value === current();
    return [input, el("label.inside-pill", {}, input, el("span", {}, text))];
  });
  const element = el("fieldset.inside-radios", {}, el("legend", {}, legend), ...inputs.map(([, label]) => label));
  const update = () => inputs.forEach(([input]) => (input.checked = input.value === String(current())));
  return { element, update };
}
