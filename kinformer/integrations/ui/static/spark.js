// A sparkline: a base over the whole span, the line, and the area under it. The latest value is at the right end.

const SVG = "http://www.w3.org/2000/svg";

export function draw(svg, values, { span = 120, width = 168, height = 26, least = 4 } = {}) {
  if (!svg.firstChild) {
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    for (const name of ["base", "area", "line"]) {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", name);
      path.setAttribute("vector-effect", "non-scaling-stroke");
      svg.append(path);
    }
  }
  svg.children[0].setAttribute("d", `M0 ${height - 1}H${width}`);
  if (values.length < 2) return;
  const top = Math.max(least, ...values), step = width / (span - 1), base = height - 1, from = width - (values.length - 1) * step;
  const points = values.map((v, i) => `${(from + i * step).toFixed(1)} ${(base - (v / top) * (height - 3)).toFixed(1)}`);
  svg.children[1].setAttribute("d", `M${from.toFixed(1)} ${height}L${points.join("L")}L${width} ${height}Z`);
  svg.children[2].setAttribute("d", `M${points.join("L")}`);
}
