// Pages that look inside the model: finds their places, starts and stops them. The parts are fetched by the pages that
// need them.
import { el } from "./dom.js";
import { wanted } from "./wanted.js";

const PARTS = {
  viewer: () => import("./views/viewer.js"),
  steps: () => import("./views/steps.js"),
  map: () => import("./map.js"),
  lab: () => import("./lab/page.js"),
  tiny: () => import("./lab/tiny.js"),
};

// Small instances in the chapters begin when a reader comes to them.
const IN_CHAPTERS = ["patches", "positions", "attention", "hand", "heads", "lens", "losses", "simmim", "sizes"];
for (const name of IN_CHAPTERS) PARTS[`chapter-${name}`] = () => import(`./lab/chapters/${name}.js`);

let page = null;

function mount() {
  const roots = [...document.querySelectorAll("[data-inside]")];
  if (page && roots.length && roots.every((root) => root.dataset.insideState)) return; // the same page again
  page?.abort(); // takes the listeners of the page before along
  page = new AbortController();
  for (const root of roots) start(root, page.signal);
}

async function start(root, signal) {
  if (root.dataset.inside.startsWith("chapter-")) {
    root.dataset.insideState = "waiting";
    await wanted(root, signal);
    if (signal.aborted) return;
  }
  root.dataset.insideState = "loading";
  try {
    const { start: startPart } = await PARTS[root.dataset.inside]();
    if (signal.aborted) return;
    await startPart(root, signal);
    if (!signal.aborted) root.dataset.insideState = "ready";
  } catch (error) {
    if (signal.aborted) return;
    root.dataset.insideState = "failed";
    root.querySelector(".lab-loading, .views-loading")?.remove(); // it is on its way no longer
    root.append(
      el(
        "p",
        { role: "alert" },
        `This part of the page could not be loaded: ${error.message}. Serve the folder of the ` +
          "site with python -m http.server and open it from there; files opened directly cannot fetch their data.",
      ),
    );
    console.error(error);
  }
}

// Material emits document$ for each page, also when it is reached without loading anew; other sites have no document$.
if (window.document$) window.document$.subscribe(mount);
else if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mount);
else mount();
