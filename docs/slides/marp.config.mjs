// npx @marp-team/marp-cli --config-file docs/slides/marp.config.mjs --pdf docs/slides/week1.md
export default {
  allowLocalFiles: true, // the figures of the book
  themeSet: new URL("deit.css", import.meta.url).pathname,
  options: { markdown: { breaks: false } }, // a line that ends in the source goes on in the slide
};
