/** Draws small bar charts by hand, in SVG: one bar an hour, read by pointer, touch and arrow keys. */

import { el, svg } from "./dom.js";

const WIDTH = 480;
const HEIGHT = 96;
const GAP = 3;

/** Fills `figure` with a chart.
 *
 * `bars` are, oldest first, `{label, values: [number, …], text}`: values are stacked from the bottom, in the classes `kinds`;
 * `text` is what is read out for the bar. `total` stands beside the title, `labels` below the first and the last bar.
 */
export function barChart(figure, { title, total, bars, kinds, labels, empty }) {
  const highest = Math.max(...bars.map((bar) => sum(bar.values)), 0);
  const step = WIDTH / bars.length;
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const columns = bars.map((bar, index) => {
    const group = svg("g", { class: "column" });
    group.append(svg("rect", { class: "ground", x: index * step, y: 0, width: step, height: HEIGHT }));
    let top = HEIGHT;
    bar.values.forEach((value, which) => {
      if (!value || !highest) return;
      const height = Math.max(2, (value / highest) * (HEIGHT - 4));
      top -= height;
      group.append(
        svg("rect", { class: kinds[which], x: index * step + GAP / 2, y: top, width: step - GAP, height, rx: 2 }),
      );
    });
    drawing.append(group);
    return group;
  });

  const reading = el("span", { class: "reading", "aria-live": "polite" }, total);
  const plot = el(
    "div",
    { class: "plot", tabindex: 0, role: "img", "aria-label": `${title}: ${total}. Arrow keys read single hours.` },
    drawing,
  );
  let at = -1;
  const choose = (index) => {
    columns[at]?.classList.remove("chosen");
    at = index;
    columns[at]?.classList.add("chosen");
    reading.textContent = at < 0 ? total : `${bars[at].label}: ${bars[at].text}`;
  };
  const under = (event) => {
    const box = plot.getBoundingClientRect();
    return Math.min(bars.length - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * bars.length)));
  };
  plot.addEventListener("pointermove", (event) => choose(under(event)));
  plot.addEventListener("pointerdown", (event) => choose(under(event)));
  plot.addEventListener("pointerleave", () => choose(-1));
  plot.addEventListener("blur", () => choose(-1));
  plot.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: at < 0 ? bars.length - 1 : at - 1, ArrowRight: at + 1, Home: 0, End: bars.length - 1 }[
      event.key
    ];
    if (to === undefined) return;
    event.preventDefault();
    choose(Math.min(bars.length - 1, Math.max(0, to)));
  });

  figure.replaceChildren(
    el("figcaption", {}, el("h2", {}, title), reading),
    plot,
    el(
      "div",
      { class: "axis", "aria-hidden": "true" },
      el("span", {}, labels[0]),
      highest ? null : el("span", {}, empty),
      el("span", {}, labels[1]),
    ),
  );
}

const sum = (values) => values.reduce((left, right) => left + right, 0);

/** Fills `box` with one line a share: a name, a bar of its part of the largest, and a value. */
export function shares(box, lines, empty) {
  if (!lines.length) {
    box.replaceChildren(el("p", { class: "quiet" }, empty));
    return;
  }
  const largest = Math.max(...lines.map((line) => line.value), 0);
  box.replaceChildren(
    el(
      "ul",
      {},
      ...lines.map(({ name, title, value, text, note }) =>
        el(
          "li",
          { title },
          el("span", { class: "name" }, name),
          el("span", { class: "value" }, text, note ? el("span", { class: "quiet" }, ` ${note}`) : null),
          svg(
            "svg",
            { class: "share", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
            svg("rect", { class: "ground", width: 100, height: 4 }),
            svg("rect", { class: "part", width: largest ? Math.max(1, (value / largest) * 100) : 0, height: 4 }),
          ),
        ),
      ),
    ),
  );
}
