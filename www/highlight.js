// Colours JavaScript. Only spans are added: the text of the element stays what it is, to the byte.

const TOKEN = /(?<comment>\/\/.*)|(?<text>"[^"\n]*"|'[^'\n]*')|(?<word>\b(?:var|new|function|true|false)\b)|(?<number>\b\d+\b)/g;

/** @param {HTMLElement} element */
export function highlight(element) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  /** @type {Text[]} */
  const nodes = [];
  while (walker.nextNode()) nodes.push(/** @type {Text} */ (walker.currentNode));
  nodes.forEach(colour);
}

/** @param {Text} node */
function colour(node) {
  const pieces = [];
  let done = 0;
  for (const match of node.data.matchAll(TOKEN)) {
    const kind = Object.entries(match.groups ?? {}).find(([, text]) => text !== undefined)?.[0];
    const span = document.createElement("span");
    span.className = `token-${kind}`;
    span.textContent = match[0];
    pieces.push(node.data.slice(done, match.index), span);
    done = match.index + match[0].length;
  }
  if (pieces.length) node.replaceWith(...pieces, node.data.slice(done));
}
