// Draws the charts, in the page's light or dark colours, and again in light ones for printing.
(function () {
  "use strict";
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const charts = read("charts");
  const looks = read("looks");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const config = {
    responsive: true, displaylogo: false,
    // Named one by one: plotly's own choice has a button that sends a chart to a server.
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  };
  const PRINT_PX = 680;

  function recoloured(value, colours) {
    if (typeof value === "string") return colours[value] || value;
    if (Array.isArray(value)) return value.map((one) => recoloured(one, colours));
    if (value === null || typeof value !== "object") return value;
    const found = {};
    for (const key of Object.keys(value)) found[key] = recoloured(value[key], colours);
    return found;
  }

  function draw(isDark, widthPx) {
    for (const id of Object.keys(charts)) {
      const chart = isDark ? recoloured(charts[id], looks.on_dark) : charts[id];
      const copy = JSON.parse(JSON.stringify(chart));
      copy.layout.template = isDark ? looks.dark : looks.light;
      copy.layout.autosize = !widthPx;
      if (widthPx) copy.layout.width = widthPx;
      const place = document.getElementById(id);
      Plotly.react(place, copy.data, copy.layout, config);
    }
  }

  const show = () => draw(dark.matches, 0);
  show();
  dark.addEventListener("change", show);
  window.addEventListener("beforeprint", () => {
    draw(false, PRINT_PX);
  });
  window.addEventListener("afterprint", () => {
    show();
    for (const id of Object.keys(charts)) Plotly.Plots.resize(document.getElementById(id));
  });
})();
