// Draws the figures marked data-chart: the options come from the server, the colours from the page.
let library;

function load(source) {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = () => resolve(globalThis.echarts);
    script.onerror = reject;
    document.head.append(script);
  });
  return library;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function formats(unit, language) {
  const plain = new Intl.NumberFormat(language, { maximumFractionDigits: 2 });
  const short = new Intl.NumberFormat(language, { notation: "compact", maximumFractionDigits: 1 });
  const share = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 });
  const minute = new Intl.NumberFormat(language, { style: "unit", unit: "minute", maximumFractionDigits: 1 });
  switch (unit) {
    case "percent": return { axis: (v) => share.format(v), whole: (v) => share.format(v) };
    case "minutes": return { axis: (v) => plain.format(v), whole: (v) => minute.format(v) };
    case "money": return { axis: (v) => short.format(v), whole: (v) => new Intl.NumberFormat(language, { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(v) };
    default: return { axis: (v) => short.format(v), whole: (v) => plain.format(v) };
  }
}

function dressed(option, language) {
  const { unit = "count", lying = false, time = false, both = false, heat = false } = option.foodex ?? {};
  const format = formats(unit, language);
  const text = colour("text-2");
  const line = colour("line");
  const moment = new Intl.DateTimeFormat(language, { month: "short", day: "numeric", hour: "2-digit" });
  const place = time ? { formatter: (v) => moment.format(new Date(v)) } : {};
  const axis = (given, values) => ({
    ...given,
    axisLabel: { color: text, hideOverlap: true, ...(values ? { formatter: format.axis } : place), ...given.axisLabel },
    axisLine: { show: !values, lineStyle: { color: line } },
    axisTick: { show: false },
    nameTextStyle: { color: text },
    nameLocation: "middle",
    nameGap: 28,
    splitLine: { show: values && !heat, lineStyle: { color: line } },
  });
  const palette = [1, 2, 3, 4, 5, 6].map((n) => colour(`chart-${n}`));
  const { foodex, ...given } = option;
  const legend = option.legend?.show;
  return {
    ...given,
    color: palette,
    animationDuration: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 350,
    textStyle: { fontFamily: "Inter, system-ui, sans-serif" },
    grid: { left: 8, right: 14, top: legend ? 34 : 12, bottom: option.xAxis?.name ? 26 : 6, containLabel: true, ...option.grid },
    legend: { ...option.legend, top: 0, left: 0, icon: "roundRect", itemWidth: 12, itemHeight: 8, textStyle: { color: text } },
    xAxis: axis(option.xAxis, both || lying),
    yAxis: axis(option.yAxis, heat ? false : both || !lying),
    tooltip: {
      ...option.tooltip,
      confine: true,
      backgroundColor: colour("surface"),
      borderColor: line,
      textStyle: { color: colour("text") },
      valueFormatter: format.whole,
      ...(heat ? { formatter: (p) => `${option.yAxis.data[p.value[1]]}, ${option.xAxis.data[p.value[0]]}: <b>${format.whole(p.value[2])}</b>` } : {}),
    },
    ...(option.visualMap ? { visualMap: { ...option.visualMap, inRange: { color: [colour("heat-low"), colour("heat-high")] } } } : {}),
    series: option.series.map((series) => {
      const { foodexRole, ...rest } = series;
      if (foodexRole === "reference") return { ...rest, lineStyle: { ...rest.lineStyle, color: text } };
      if (rest.type === "line") return { lineStyle: { width: 2.2 }, symbolSize: 6, ...rest };
      if (rest.type === "bar") return { itemStyle: { borderRadius: rest.stack ? 0 : lying ? [0, 4, 4, 0] : [4, 4, 0, 0] }, ...rest };
      if (rest.type === "heatmap") return { itemStyle: { borderColor: colour("surface"), borderWidth: 2, borderRadius: 4 }, ...rest };
      return rest;
    }),
  };
}

export async function drawCharts(root, texts) {
  const found = [...root.querySelectorAll("[data-chart]")];
  if (root.matches?.("[data-chart]")) found.push(root);
  // What was put into the page may be told of more than once.
  const figures = found.filter((figure) => !figure.dataset.drawn);
  if (!figures.length) return;
  for (const figure of figures) figure.dataset.drawn = "yes";
  const echarts = await load(texts.echarts);
  for (const figure of figures) {
    const source = figure.querySelector("script");
    if (!source) continue;
    const option = JSON.parse(source.textContent);
    const holder = document.createElement("div");
    holder.style.cssText = "width:100%;height:100%";
    figure.append(holder);
    const chart = echarts.init(holder, null, { renderer: "svg" });
    chart.setOption(dressed(option, texts.language));
    new ResizeObserver(() => chart.resize()).observe(figure);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.setOption(dressed(option, texts.language)));
  }
}
