// Formulas. MathJax comes from this site, and only on pages that have formulas.
(() => {
  const folder = new URL("mathjax/", document.currentScript.src).href;

  window.MathJax = {
    tex: {
      inlineMath: [["\\(", "\\)"]],
      displayMath: [["\\[", "\\]"]],
      processEscapes: true,
      // These two fetch further files when a formula asks for them; all that is used here is loaded at once.
      packages: { "[-]": ["autoload", "require"] },
    },
    chtml: { fontURL: folder + "output/chtml/fonts/woff-v2", adaptiveCSS: false },
    options: { enableMenu: false, ignoreHtmlClass: ".*", processHtmlClass: "arithmatex" },
    startup: { typeset: false },
  };

  let loading = null;
  const load = () => {
    loading ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = folder + "tex-chtml.js";
      script.onload = () => window.MathJax.startup.promise.then(resolve);
      script.onerror = () => {
        loading = null; // the next page may try again
        reject(new Error("MathJax could not be loaded"));
      };
      document.body.append(script);
    });
    return loading;
  };

  const typeset = async () => {
    const formulas = [...document.querySelectorAll(".arithmatex")];
    if (formulas.length === 0) return;
    await load();
    window.MathJax.startup.output.clearCache();
    window.MathJax.typesetClear();
    window.MathJax.texReset();
    await window.MathJax.typesetPromise(formulas);
  };

  // The line that an address names, such as source/...#L70, stands out: :target alone misses instant navigation.
  const mark = () => {
    for (const line of document.querySelectorAll(".deit-line.deit-here")) line.classList.remove("deit-here");
    if (/^#L\d+$/.test(location.hash)) document.querySelector(location.hash)?.classList.add("deit-here");
  };

  // What the theme leaves unnamed or out of reach of the keyboard.
  const scrolling = ".md-typeset__scrollwrap, div.arithmatex, span.arithmatex, .deit-html, .deit-frame";
  const reach = () => {
    document.querySelector(".md-search[role=dialog]")?.setAttribute("aria-label", "Search");
    for (const nav of document.querySelectorAll("nav.md-code__nav:not([role])")) nav.setAttribute("role", "none");
    // A formula in a sentence that is wider than the column gets a line of its own, which scrolls.
    for (const formula of document.querySelectorAll("span.arithmatex")) {
      formula.classList.remove("deit-wide");
      formula.style.fontSize = "";
      const block = formula.parentElement.closest("p, li, dd, td, th, div");
      formula.classList.toggle("deit-wide", formula.offsetWidth > block.clientWidth + 1 && block.clientWidth > 0);
    }
    // On a line of its own a formula shrinks, by a fifth at most, before it scrolls.
    for (const formula of document.querySelectorAll("div.arithmatex, span.arithmatex.deit-wide")) {
      formula.style.fontSize = "";
      const fits = formula.clientWidth / formula.scrollWidth;
      if (fits > 0 && fits < 1) formula.style.fontSize = `${Math.max(98 * fits, 80)}%`;
    }
    for (const box of document.querySelectorAll(scrolling)) {
      if (box.clientWidth > 0 && box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  let waiting = 0;
  const reachSoon = () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(reach);
  };
  new MutationObserver(reachSoon).observe(document.body, { childList: true, subtree: true });
  window.addEventListener("resize", reachSoon);

  // Material's navigation.instant reads a link's href as a text, which links in SVG do not have: they load as usual.
  const keepFromMaterial = (event) => {
    if (event.target instanceof Element && event.target.closest("svg a")) event.stopPropagation();
  };
  document.addEventListener("click", keepFromMaterial, { capture: true });

  // The signatures of twins open and fold together.
  const together = (event) => {
    if (!event.target.matches?.(".deit-mirror .deit-signature")) return;
    for (const twin of event.target.closest(".deit-mirror").querySelectorAll(".deit-signature")) {
      twin.open = event.target.open;
    }
  };
  document.addEventListener("toggle", together, { capture: true });

  // Paper is light.
  let scheme = null;
  window.addEventListener("beforeprint", () => {
    scheme = document.body.dataset.mdColorScheme;
    document.body.dataset.mdColorScheme = "default";
  });
  window.addEventListener("afterprint", () => {
    document.body.dataset.mdColorScheme = scheme;
  });

  // Files opened from disk: a folder has no page of its own there, and a page may fetch nothing.
  const fromDisk = location.protocol === "file:";
  const openIndex = (event) => {
    const link = event.target instanceof Element && event.target.closest("a[href]");
    if (!link || typeof link.href !== "string" || !/^file:[^?#]*\/(?:[?#]|$)/.test(link.href)) return;
    link.href = link.href.replace(/\/(?=[?#]|$)/, "/index.html");
  };
  const explain = () => {
    const remedy = "run python -m http.server in the folder of the site, and open http://localhost:8000 in the browser.";
    for (const small of document.querySelectorAll("[data-inside^='chapter-']")) small.remove(); // the text stands alone
    for (const root of document.querySelectorAll("[data-inside]:not(:has(.deit-from-disk))")) {
      const said = document.createElement("p");
      said.className = "deit-from-disk";
      said.setAttribute("role", "alert");
      said.textContent = `This part of the page fetches data, which a file opened from disk may not. Instead, ${remedy}`;
      root.prepend(said);
    }
    document.querySelector(".md-search__input")?.setAttribute("placeholder", "Search needs a server");
  };
  if (fromDisk) document.addEventListener("click", openIndex, { capture: true });

  const show = () => {
    typeset().catch((error) => console.error(error));
    mark();
    reach();
    if (fromDisk) explain();
  };
  // Material emits document$ on each page, also when it is reached without loading anew; from disk it emits nothing.
  if (fromDisk) show();
  else document$.subscribe(show);
  window.addEventListener("hashchange", mark);
})();
