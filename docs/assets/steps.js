// The stepper: each array that one forward pass made, in order, with its picture and the line of code that made it.
import { HEAT, SIGNED, colorAt, gradient } from "./colors.js";
import { SITE, dataUrl, getBytes, getJson } from "./data.js";
import { el, fromAddress, keepInAddress } from "./dom.js";

const digits = (x) =>
  Number.isInteger(x) ? String(x) : Math.abs(x) >= 1e-3 || x === 0 ? x.toFixed(4) : x.toExponential(3);

export async function start(root, signal) {
  const book = await getJson("steps.json", signal);
  const { steps, groups, grid, patch, prefix, classes } = book;
  const [rows, columns] = grid;
  const blocks = groups.filter((group) => group.id.startsWith("blocks."));
  const bytes = new Map(); // group -> promise of its Uint8Array
  const asked = fromAddress();
  const state = {
    at: Math.max(
      0,
      steps.findIndex((step) => step.name === asked.step),
    ),
    folded: asked.fold !== "off",
  };
  let drawn = 0;
  let numbersOpen = false;

  const buttons = new Map();
  const view = el("section.inside-card", { "aria-label": "The step" });
  const said = el("p.inside-where", { role: "status" });
  const button = (text, label, move) =>
    el("button.inside-button", { type: "button", title: label, onclick: move }, text);
  const first = button("First", "first step", () => go(visible()[0]));
  const back = button("← Back", "step back", () => move(-1));
  const next = button("Next →", "next step", () => move(1));
  const last = button("Last", "last step", () => go(visible().at(-1)));
  const slider = el("input", {
    type: "range",
    min: 0,
    "aria-label": "step",
    oninput: () => go(visible()[Number(slider.value)]),
  });
  const fold = el("input", { type: "checkbox", onchange: () => setFolded(fold.checked) });
  fold.checked = state.folded;
  const groupList = el("div");
  const list = el(
    "nav.inside-list",
    { "aria-label": "All steps" },
    el("label.inside-check", {}, fold, el("span", {}, `fold blocks 2 to ${blocks.length}: outputs only`)),
    groupList,
  );
  root.replaceChildren(
    el(
      "div.inside-stepper",
      {},
      el(
        "div.inside-toolbar",
        { role: "group", "aria-label": "Move through the steps" },
        first,
        back,
        next,
        last,
        slider,
        said,
      ),
      list,
      view,
    ),
  );
  makeList();
  root.addEventListener("keydown", (event) => {
    if (
      event.altKey ||
      event.ctrlKey ||
      event.metaKey ||
      event.target.matches("input[type=range], .inside-scroll, pre")
    )
      return;
    const keys = { ArrowRight: 1, ArrowLeft: -1 };
    if (event.key in keys) {
      event.preventDefault();
      move(keys[event.key]);
    }
  });
  // Arrow keys also work when nothing on the page has the focus.
  document.addEventListener(
    "keydown",
    (event) => {
      if (event.target !== document.body || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      if (event.key === "ArrowRight") move(1);
      if (event.key === "ArrowLeft") move(-1);
    },
    { signal },
  );

  // Moving

  function isFolded(step) {
    return (
      state.folded && step.group.startsWith("blocks.") && step.group !== blocks[0].id && !step.name.endsWith(".output")
    );
  }

  function visible() {
    return [...steps.keys()].filter((i) => !isFolded(steps[i]) || i === state.at);
  }

  function move(by) {
    const open = visible();
    go(open[open.indexOf(state.at) + by]);
  }

  function go(to) {
    if (to === undefined || to === state.at) return;
    state.at = to;
    keepInAddress({ step: steps[to].name, fold: state.folded ? "on" : "off" });
    show().catch((error) => {
      if (!signal.aborted)
        view.replaceChildren(el("p", { role: "alert" }, `The step could not be loaded: ${error.message}.`));
    });
  }

  function setFolded(folded) {
    state.folded = folded;
    keepInAddress({ step: steps[state.at].name, fold: folded ? "on" : "off" });
    makeList();
    show();
  }

  function makeList() {
    buttons.clear();
    groupList.replaceChildren(
      ...groups.map((group) => {
        const items = steps
          .filter((step) => step.group === group.id && !isFolded(step))
          .map((step) => {
            const i = steps.indexOf(step);
            const item = el("button", { type: "button", onclick: () => go(i) }, step.title);
            buttons.set(i, item);
            return el("li", {}, item);
          });
        const details = el(
          "details.inside-group",
          { "data-group": group.id },
          el("summary", {}, group.title),
          el("ol", {}, ...items),
        );
        return details;
      }),
    );
  }

  async function show() {
    const turn = ++drawn;
    const step = steps[state.at];
    const open = visible();
    const place = open.indexOf(state.at);
    if (!buttons.has(state.at)) makeList();
    for (const [i, item] of buttons) {
      if (i === state.at) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    }
    const current = buttons.get(state.at);
    if (current) {
      const details = current.closest("details");
      if (!details.open) {
        for (const other of list.querySelectorAll("details")) other.open = other === details;
      }
      list.scrollTop = Math.max(0, current.offsetTop - list.clientHeight / 2);
    }
    // A button that is switched off would lose the focus, and the arrow keys with it.
    for (const [control, off] of [
      [first, place === 0],
      [back, place === 0],
      [next, place === open.length - 1],
      [last, place === open.length - 1],
    ]) {
      control.setAttribute("aria-disabled", String(off));
    }
    slider.max = open.length - 1;
    slider.value = place;
    const group = groups.find(({ id }) => id === step.group);
    const where = `Step ${state.at + 1} of ${steps.length}: ${group.title}, ${step.title}`;
    slider.setAttribute("aria-valuetext", where);
    said.textContent = where;
    let data = null;
    if (!["photo", "bars"].includes(step.picture)) {
      if (!bytes.has(step.group))
        bytes.set(
          step.group,
          getBytes(`steps-${step.group}.bin`, signal).then((b) => new Uint8Array(b)),
        );
      try {
        data = await bytes.get(step.group);
      } catch (error) {
        bytes.delete(step.group);
        throw error;
      }
      if (signal.aborted || turn !== drawn) return;
      data = data.subarray(step.offset, step.offset + step.shape.reduce((a, b) => a * b, 1));
    }
    view.replaceChildren(...describe(step), picture(step, data), numbers(step));
  }

  // What is said of a step

  function describe(step) {
    const [number, title] = step.chapter;
    const fact = (name, value) => el("div", {}, el("dt", {}, name), el("dd", {}, value));
    return [
      el("h2", {}, step.title),
      el("p", {}, step.sentence),
      el(
        "dl.inside-facts",
        {},
        fact("name", step.name),
        fact("shape", `(${step.shape.join(", ")})`),
        fact("dtype", step.dtype),
        fact("smallest", digits(step.min)),
        fact("largest", digits(step.max)),
        fact("mean", digits(step.mean)),
      ),
      el(
        "div.inside-code",
        {},
        el("a", { href: new URL(step.source_link, SITE).href }, `${step.module}.py, line ${step.line}`),
        `, in ${step.function}. `,
        el("a", { href: new URL(step.chapter_link, SITE).href }, `Chapter ${number}: ${title}`),
        el("pre", { tabindex: 0, role: "region", "aria-label": "the line of code" }, el("code", {}, step.code)),
      ),
    ];
  }

  function numbers(step) {
    const scroll = el("div.inside-scroll", { tabindex: 0, role: "region", "aria-label": "Some of the numbers" });
    const details = el(
      "details.inside-table",
      { open: numbersOpen, ontoggle: () => (numbersOpen = details.open) },
      el("summary", {}, "Some of the numbers, to check"),
      scroll,
    );
    scroll.append(
      el("p", {}, "In Python: ", el("code", {}, `trace["${step.name}"]${step.index}`)),
      el(
        "table",
        {},
        el("caption", {}, `The first numbers of ${step.name}`),
        el(
          "tbody",
          {},
          ...step.corner.map((line, i) =>
            el(
              "tr",
              {},
              el("th", { scope: "row" }, String(i)),
              ...line.map((x) => el("td", { title: String(x) }, digits(x))),
            ),
          ),
        ),
      ),
    );
    return details;
  }

  // Pictures

  function picture(step, data) {
    const box = el("div.inside-pictures", { "data-picture": step.picture });
    box.append(...DRAW[step.picture](step, data));
    return box;
  }

  function figure(canvas, caption, label, width) {
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", label);
    const element = el("figure", {}, canvas, el("figcaption", {}, caption));
    if (width) element.style.flex = `0 1 ${width}`;
    return element;
  }

  /** A canvas of height x width whose pixel (row, column) has the color that `at` returns. */
  function paint(height, width, at) {
    const canvas = el("canvas", { width, height });
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(width, height);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++)
        pixels.data.set([...at(row, column), 255], 4 * (row * width + column));
    }
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  /** Bytes to colors: shares from 0 on HEAT; numbers of both signs on SIGNED, with 0 in the middle. */
  function colors(step) {
    const value = (byte) => step.min + ((step.max - step.min) * byte) / 255; // the bytes run from min to max
    if (step.name.endsWith("probabilities")) {
      return {
        of: (byte) => colorAt(HEAT, value(byte) / step.max),
        value,
        low: "0",
        high: digits(step.max),
        map: HEAT,
      };
    }
    const most = Math.max(Math.abs(step.min), Math.abs(step.max)) || 1;
    const of = (byte) => colorAt(SIGNED, (value(byte) / most + 1) / 2);
    return { of, value, low: digits(-most), high: digits(most), map: SIGNED };
  }

  function legend(scale) {
    const bar = el("span.inside-gradient", { "aria-hidden": "true" });
    bar.style.background = gradient(scale.map);
    return el(
      "div.inside-whole",
      {},
      el("div.inside-scale", {}, el("span", {}, scale.low), bar, el("span", {}, scale.high)),
    );
  }

  function tokenName(token) {
    if (token < prefix) return ["class token", "distillation token"][token];
    return `patch in row ${Math.floor((token - prefix) / columns) + 1}, column ${((token - prefix) % columns) + 1}`;
  }

  /** Under the pointer: which number it is, and about how large. */
  function pointed(canvas, caption, tell) {
    const rest = caption.textContent;
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect();
      const row = Math.min(
        canvas.height - 1,
        Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * canvas.height)),
      );
      const column = Math.min(
        canvas.width - 1,
        Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * canvas.width)),
      );
      caption.textContent = tell(row, column);
    });
    canvas.addEventListener("pointerleave", () => (caption.textContent = rest));
  }

  function tokenRows(step, data, dim) {
    const scale = colors(step);
    const count = data.length / dim;
    const before = count === rows * columns ? prefix : 0; // patches only: the first row is a patch
    const canvas = paint(count, dim, (row, column) => scale.of(data[row * dim + column]));
    // A very wide array gets pixels that are higher than wide, so that its rows can be told apart.
    canvas.style.aspectRatio = String(Math.min(dim / count, 2.5));
    const caption = before
      ? `${count} rows, one per patch, row by row from the top left; ${dim} columns, one per feature.`
      : `${count} rows, one per token: class token, distillation token, then the patches; ${dim} columns, one per ` +
        "feature.";
    const element = figure(
      canvas,
      caption,
      `Heat map of ${step.name}: ${caption} From ${digits(step.min)} to ${digits(step.max)}.`,
    );
    element.style.flexBasis = "100%";
    pointed(
      canvas,
      element.lastChild,
      (row, column) =>
        `Row ${row} (${tokenName(row + before)}), column ${column}: ` +
        `about ${scale.value(data[row * dim + column]).toFixed(2)}`,
    );
    return [element, legend(scale)];
  }

  function perHead(step, data, height, width, caption) {
    const scale = colors(step);
    const size = height * width;
    const figures = Array.from({ length: data.length / size }, (_, head) => {
      const at = (row, column) => data[head * size + row * width + column];
      const canvas = paint(height, width, (row, column) => scale.of(at(row, column)));
      const element = figure(canvas, `head ${head + 1}`, `Heat map of ${step.name}, head ${head + 1}: ${caption}`);
      pointed(
        canvas,
        element.lastChild,
        (row, column) =>
          `head ${head + 1}, row ${row} (${tokenName(row)}), column ${column}` +
          `${height === width ? ` (${tokenName(column)})` : ""}: ` +
          `about ${scale.value(at(row, column)).toFixed(3)}`,
      );
      return element;
    });
    return [...figures, el("p.inside-note.inside-whole", {}, caption), legend(scale)];
  }

  const DRAW = {
    photo(step) {
      const image = el("img", {
        src: dataUrl("steps-photo.jpg"),
        alt: `${book.photo[0]}: ${book.photo[1]}`,
        width: step.shape[1],
        height: step.shape[0],
      });
      const element = el("figure", {}, image, el("figcaption", {}, `${step.shape[1]} x ${step.shape[0]} pixels`));
      element.style.flex = "0 1 28rem";
      return [element];
    },
    rgb(step, data) {
      const [height, width] = step.shape;
      // Bytes are shown as they are; floats, stretched from their smallest to their largest value.
      const back = step.dtype === "uint8" ? (byte) => step.min + ((step.max - step.min) * byte) / 255 : (byte) => byte;
      const canvas = paint(height, width, (row, column) =>
        [0, 1, 2].map((c) => back(data[(row * width + column) * 3 + c])),
      );
      return [
        figure(
          canvas,
          `${width} x ${height} pixels`,
          `The photo at ${width} x ${height} pixels: ${book.photo[1]}`,
          width > height ? "27rem" : "18rem",
        ),
      ];
    },
    planes(step, data) {
      const [, channels, height, width] = step.shape;
      const names =
        channels === 3 ? ["red", "green", "blue"] : Array.from({ length: channels }, (_, i) => `channel ${i}`);
      const scale = colors(step);
      return [
        ...names.map((name, c) => {
          const canvas = paint(height, width, (row, column) => scale.of(data[(c * height + row) * width + column]));
          return figure(canvas, name, `The ${name} channel of the normalized photo`, "12rem");
        }),
        legend(scale),
      ];
    },
    tiles(step, data) {
      const [patchHeight, patchWidth] = patch;
      const size = step.shape[2];
      const place = (row, column) => [
        Math.floor(row / (patchHeight + 1)),
        row % (patchHeight + 1),
        Math.floor(column / (patchWidth + 1)),
        column % (patchWidth + 1),
      ];
      const canvas = paint(rows * (patchHeight + 1) - 1, columns * (patchWidth + 1) - 1, (row, column) => {
        const [gridRow, y, gridColumn, x] = place(row, column);
        if (y === patchHeight || x === patchWidth) return [255, 255, 255];
        return [0, 1, 2].map(
          (c) => data[(gridRow * columns + gridColumn) * size + (c * patchHeight + y) * patchWidth + x],
        );
      });
      const squares = figure(
        canvas,
        `${rows * columns} patches, numbered row by row`,
        `The photo cut into ${rows} by ${columns} patches`,
        "18rem",
      );
      pointed(canvas, squares.lastChild, (row, column) => {
        const [gridRow, , gridColumn] = place(row, column);
        return `Patch ${gridRow * columns + gridColumn}: row ${gridRow + 1}, column ${gridColumn + 1}`;
      });
      const [matrix, scale] = tokenRows(step, data, size);
      Object.assign(matrix.style, { flexBasis: "12rem", maxWidth: "22rem" });
      return [squares, matrix, scale];
    },
    tokens: (step, data) => tokenRows(step, data, step.shape.at(-1)),
    heads(step, data) {
      const [, , tokens, dim] = step.shape;
      return perHead(step, data, tokens, dim, `In each head ${tokens} rows, one per token, and ${dim} columns.`);
    },
    maps(step, data) {
      const [, , tokens] = step.shape;
      return perHead(
        step,
        data,
        tokens,
        tokens,
        "Row: the token that looks. Column: the token that it looks at. The first two are the class and the " +
          "distillation token.",
      );
    },
    bars(step) {
      const [low, high] = [Math.min(0, step.min), Math.max(0, step.max)];
      const percent = (x) => (100 * (x - low)) / (high - low || 1);
      const most = Math.max(...step.values);
      const element = el(
        "ol.inside-bars",
        {},
        ...step.values.map((value, i) => {
          const bar = el("i");
          bar.style.insetInlineStart = `${percent(Math.min(0, value))}%`;
          bar.style.width = `${percent(Math.max(0, value)) - percent(Math.min(0, value))}%`;
          const name = el(value === most ? "strong" : "span", {}, classes[i]);
          return el(
            "li",
            { title: String(value) },
            name,
            el("span.inside-axis", { "aria-hidden": "true" }, bar),
            el("b", {}, digits(value)),
          );
        }),
      );
      if (step.name.startsWith("cls")) element.classList.add("inside-cls");
      if (step.name.startsWith("dist")) element.classList.add("inside-dist");
      element.style.flex = "1 1 20rem";
      return [element];
    },
  };

  await show();
}
