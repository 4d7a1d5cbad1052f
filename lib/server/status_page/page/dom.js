/** Elements of the document. Text is set as text: nothing that comes from a node is read as HTML. */

const SVG = "http://www.w3.org/2000/svg";

/** Returns an element of HTML with attributes and children; null and false are left out, other values become text. */
export function h(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Returns an element of SVG. */
export function s(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(name, value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== false) {
      element.append(child instanceof Node ? child : document.createTextNode(String(child)));
    }
  }
  return element;
}

/** Gives an element of the page these children, and changes only what differs: focus, selection and scrolling stay. */
export function show(id, ...children) {
  const shown = document.getElementById(id);
  const fresh = shown.cloneNode(false);
  fresh.append(...children.flat().filter((child) => child !== null));
  become(shown, fresh);
}

function become(shown, fresh) {
  if (shown.nodeName !== fresh.nodeName) return shown.replaceWith(fresh);
  if (shown instanceof Text) {
    if (shown.data !== fresh.data) shown.data = fresh.data;
    return;
  }
  for (const { name } of [...shown.attributes]) if (!fresh.hasAttribute(name)) shown.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  }
  const children = [...fresh.childNodes];
  while (shown.childNodes.length > children.length) shown.lastChild.remove();
  children.forEach((child, at) => {
    const present = shown.childNodes[at];
    if (present === undefined) shown.append(child);
    else become(present, child);
  });
}

const ICONS = {
  good: ["M12 2.5a9.5 9.5 0 1 0 0 19 9.5 9.5 0 0 0 0-19z", "m7.5 12.5 3 3 6-7"],
  warn: ["M12 3 2 20.5h20z", "M12 9.5v5", "M12 17.4v.2"],
  bad: ["M8 2.5h8l5.5 5.5v8L16 21.5H8L2.5 16V8z", "m8.5 8.5 7 7", "m15.5 8.5-7 7"],
  unknown: ["M12 2.5a9.5 9.5 0 1 0 0 19 9.5 9.5 0 0 0 0-19z", "M12 7v5.5l3.5 2"],
};

/** Returns the shape of a level, which differs from the others not only in its colour. */
export function icon(level) {
  const paths = ICONS[level].map((d) => s("path", { d }));
  return s("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, paths);
}

/** Returns a piece of the line of a member in the plots; each has its own dashes. */
export function sample(position) {
  const line = s("line", { x1: 0, y1: 3, x2: 22, y2: 3, class: `n${position % 5 + 1}` });
  return s("svg", { viewBox: "0 0 22 6", class: "sample", "aria-hidden": "true" }, line);
}
