/**
 * Waiting for a reader who stays with a part of a page, so that nothing is fetched for one who only skims it.
 */

const STAY = 350; // milliseconds on the screen

/**
 * Resolves when the element has been on the screen for a moment, or is touched; and when the signal aborts.
 * @param {Element} element
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function wanted(element, signal) {
  return new Promise((resolve) => {
    let waiting = 0;
    const observer = new IntersectionObserver((entries) => {
      clearTimeout(waiting);
      if (entries.at(-1)?.isIntersecting) waiting = setTimeout(done, STAY);
    });
    const touched = new AbortController();
    function done() {
      clearTimeout(waiting);
      observer.disconnect();
      touched.abort();
      resolve();
    }
    observer.observe(element);
    element.addEventListener("pointerdown", done, { signal: touched.signal });
    element.addEventListener("focusin", done, { signal: touched.signal });
    signal.addEventListener("abort", done, { signal: touched.signal });
  });
}
