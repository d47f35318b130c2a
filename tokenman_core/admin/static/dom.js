/** Makes elements. Text is always set as text, never parsed: what a call carries cannot become markup. */

const SVG = "http://www.w3.org/2000/svg";

/** `el("td", {class: "number", title: "…", onclick: f}, "text", child, …)`; null and false children are left out. */
export function el(name, properties = {}, ...children) {
  return dress(document.createElement(name), properties, children);
}

/** The same for SVG. */
export function svg(name, properties = {}, ...children) {
  return dress(document.createElementNS(SVG, name), properties, children);
}

function dress(node, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** The element of this id; it is known to be there. */
export const by = (id) => document.getElementById(id);

/** Puts a short text on the clipboard, and says so on the button for a moment. */
export function copier(text) {
  const button = el("button", { type: "button", class: "small", "aria-label": `Copy ${text}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed"; // a browser may refuse it; the text beside can be selected
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return button;
}
