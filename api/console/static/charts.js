// Draws the charts of the overview from /console/data, and asks again while somebody looks.
//
// A figure with data-chart="URL" has a .chart-body to draw in, and in it a .chart-state for what is said instead. What
// is drawn stays when asking again fails: figures of a minute ago, said to be so, are better than none.
"use strict";

(() => {
  const REFRESH_MS = 15000; // chosen: soon enough to watch a rollout; the counts are by the minute
  const ANSWER_MS = 10000; // chosen: longer than the server lets a page wait
  const STEP_S = { minute: 60, hour: 3600, day: 86400 };
  const CAN_DRAW = typeof uPlot === "function"; // its file may not have come, or have failed on a language that is none
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

  const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
  const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
  const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 2 });
  const dollars = new Intl.NumberFormat(undefined, { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", maximumFractionDigits: 4 });
  const seconds = (value) =>
    value < 0.001 ? `${number.format(value * 1e6)} µs`
      : value < 1 ? `${Number((value * 1000).toPrecision(3))} ms`
        : `${Number(value.toPrecision(3))} s`;
  const FORMS = {
    count: { value: number.format, tick: short.format },
    ratio: { value: percent.format, tick: percent.format },
    seconds: { value: seconds, tick: seconds },
    usd_micros: { value: (v) => dollars.format(v / 1e6), tick: (v) => dollars.format(v / 1e6) },
  };

  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
  const dateOf = (s) => new Date(s * 1000);
  const moment = (s, by) =>
    by === "day" ? day.format(dateOf(s)) : `${day.format(dateOf(s))}, ${clock.format(dateOf(s))}`;
  const timeTicks = (_plot, splits, _axis, _space, step) =>
    splits.map((s) => {
      const isMidnight = dateOf(s).getHours() === 0 && dateOf(s).getMinutes() === 0;
      return step >= 86400 || isMidnight ? day.format(dateOf(s)) : clock.format(dateOf(s));
    });

  const isPowerOfTen = (value) => value !== null && Number.isInteger(Math.round(Math.log10(value) * 1e6) / 1e6);
  const WHOLE = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((one) => one * 10 ** power)).flat();

  // A value between two gaps has no line; it is drawn as a point.
  const alone = (plot, place) =>
    plot.data[place].flatMap((value, row, all) =>
      value !== null && (all[row - 1] ?? null) === null && (all[row + 1] ?? null) === null ? [row] : []);

  // Stacked from the last to the first, so that failures stand on the ground, where their height can be seen.
  const stacked = (values) => {
    const sums = [];
    let above = values[0].map(() => 0);
    for (const column of [...values].reverse()) {
      above = above.map((sum, place) => sum + (column[place] ?? 0));
      sums.unshift(above);
    }
    return sums;
  };

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.place = figure.querySelector(".chart-body");
      this.state = figure.querySelector(".chart-state");
      this.values = figure.querySelector(".chart-values");
      this.note = figure.querySelector(".card-note");
      this.spoken = figure.querySelector(".chart-spoken");
      this.url = figure.dataset.chart;
      this.asking = null;
      this.data = null;
      this.plot = null;
      this.place.addEventListener("keydown", (event) => this.walk(event));
      new ResizeObserver(() => this.fit()).observe(this.place);
    }

    async load() {
      this.stop();
      const asking = (this.asking = new AbortController());
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = true;
        asking.abort();
      }, ANSWER_MS);
      let content = null;
      try {
        const url = `${this.url}&tz=${encodeURIComponent(zone)}`;
        const answer = await fetch(url, { signal: asking.signal, headers: { Accept: "application/json" } });
        if (answer.status === 401) throw new Error("The session has ended: log in again.");
        content = await answer.json().catch(() => ({}));
        if (!answer.ok) throw new Error(content.detail || `The gateway answered with status ${answer.status}.`);
      } catch (error) {
        if (isLate) this.fail("The gateway did not answer in time.");
        else if (error.name !== "AbortError") this.fail(error instanceof TypeError ? "The gateway is out of reach." : error.message);
        return;
      } finally {
        clearTimeout(timer);
        if (this.asking === asking) this.asking = null;
      }
      this.show(content);
    }

    stop() {
      this.asking?.abort();
      this.asking = null;
    }

    show(data) {
      this.data = data;
      this.note.textContent = "";
      this.say(data.is_empty ? "No calls in this time." : CAN_DRAW ? "" : "Charts do not run in this browser; the figures are in the table.");
      if (!data.is_empty && CAN_DRAW) this.draw();
    }

    fail(reason) {
      if (this.data) this.note.textContent = `Not the newest figures. ${reason}`;
      else this.say(reason);
    }

    // A sentence in place of the plot; "" for the plot.
    say(sentence) {
      this.state.textContent = sentence;
      this.state.hidden = !sentence;
      this.figure.classList.toggle("is-blank", Boolean(sentence));
    }

    draw() {
      const [times, ...values] = this.data.columns;
      const drawn = [times, ...(this.data.kind === "bars" ? stacked(values) : values)];
      if (this.plot) this.plot.setData(drawn);
      else this.plot = new uPlot(this.options(), drawn, this.place);
      this.rest();
    }

    // Colours are those of the page, which may change while it is open.
    redraw() {
      this.plot?.destroy();
      this.plot = null;
      if (this.data && !this.data.is_empty && CAN_DRAW) this.draw();
    }

    fit() {
      const width = this.place.clientWidth;
      if (this.plot && width && width !== this.plot.width) this.plot.setSize({ width, height: this.place.clientHeight });
    }

    // Where no cursor is, the values are the newest.
    rest() {
      if (this.plot && this.plot.cursor.idx == null) this.plot.setLegend({ idx: this.data.columns[0].length - 1 }, false);
    }

    options() {
      const { unit, kind, by, series } = this.data;
      const form = FORMS[unit];
      const style = getComputedStyle(document.documentElement);
      const colour = (name) => style.getPropertyValue(`--${name}`).trim();
      const font = `12px ${getComputedStyle(document.body).fontFamily}`;
      const grid = { stroke: colour("line"), width: 1 };
      if (unit === "seconds") grid.filter = (_plot, splits) => splits.map((v) => (isPowerOfTen(v) ? v : null));
      const axis = { stroke: colour("ink-soft"), grid, ticks: { show: false }, font };
      const raw = (place, row) => this.data.columns[place]?.[row];
      const bars = uPlot.paths.bars({ size: [0.8, 40], align: 1 });
      const ends = (_plot, low, high) => [low, kind === "bars" ? high + STEP_S[by] : high];
      return {
        width: this.place.clientWidth,
        height: this.place.clientHeight,
        cursor: { y: false, sync: { key: "console" }, drag: { setScale: false, x: false, y: false }, points: { show: kind === "lines" } },
        padding: [8, 20, 0, 0],
        legend: {
          live: true,
          mount: (_plot, legend) => this.values.replaceChildren(legend),
          markers: { width: 0, fill: (_plot, place) => colour(series[place - 1].colour) },
        },
        hooks: { setCursor: [() => this.rest()] },
        scales: { x: { time: true, range: ends }, y: this.scale() },
        axes: [
          { ...axis, grid: { show: false }, values: timeTicks, space: 64, size: 32 },
          {
            ...axis,
            size: 60,
            ...(unit === "count" ? { incrs: WHOLE } : {}),
            values: (_plot, splits) => splits.map((v) => (v === null ? "" : form.tick(v))),
          },
        ],
        series: [
          { label: "Time", value: (_plot, _v, _place, row) => (row === null ? "–" : moment(raw(0, row), by)) },
          ...series.map(({ label, colour: name, dash }, place) => ({
            label,
            stroke: colour(name),
            width: kind === "bars" ? 0 : 2,
            dash: dash.length ? dash : undefined,
            fill: kind === "bars" ? colour(name) : undefined,
            paths: kind === "bars" ? bars : undefined,
            points: kind === "bars" ? { show: false } : { show: true, size: 5, fill: colour(name), filter: alone },
            value: (_plot, _v, _place, row) => {
              const value = raw(place + 1, row);
              return value === null || value === undefined ? "–" : form.value(value);
            },
          })),
        ],
      };
    }

    scale() {
      const name = this.data.unit;
      if (name === "seconds") return { distr: 3, log: 10 };
      const least = name === "usd_micros" ? 1000 : 1; // so that no two ticks are written alike
      if (name !== "ratio") return { range: (_plot, _low, high) => [0, Math.max(high * 1.08, least)] };
      const isNearOne = this.data.series.some(({ name }) => name === "objective");
      return { range: (_plot, low) => (isNearOne ? [Math.min(0.995, low - (1 - low) * 0.1), 1.0005] : [0, 1]) };
    }

    // With the arrow keys the cursor goes from moment to moment, and its values are said.
    walk(event) {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const isEnd = event.key === "Home" || event.key === "End";
      if (!this.plot || (!step && !isEnd)) return;
      event.preventDefault();
      const times = this.data.columns[0];
      const now = this.plot.cursor.idx ?? times.length;
      const row = isEnd ? (event.key === "Home" ? 0 : times.length - 1)
        : Math.max(0, Math.min(times.length - 1, now + step));
      this.plot.setCursor({ left: this.plot.valToPos(times[row], "x"), top: 0 });
      const form = FORMS[this.data.unit];
      const said = this.data.series.map(({ label }, place) => {
        const value = this.data.columns[place + 1][row];
        return `${label} ${value === null ? "none" : form.value(value)}`;
      });
      this.spoken.textContent = `${moment(times[row], this.data.by)}: ${said.join(", ")}`;
    }
  }

  const start = () => {
    const charts = [...document.querySelectorAll("[data-chart]")].map((figure) => new Chart(figure));
    if (!charts.length && !document.querySelector("[data-refreshes]")) return;
    const isSeen = () => document.visibilityState === "visible";
    let askedAt = 0;
    const ask = () => {
      askedAt = Date.now();
      charts.forEach((chart) => chart.load());
    };
    const again = () => {
      ask();
      document.body.dispatchEvent(new CustomEvent("refresh")); // the fragments of the page listen to it
    };
    ask();
    setInterval(() => isSeen() && again(), REFRESH_MS);
    document.addEventListener("visibilitychange", () => {
      if (!isSeen()) charts.forEach((chart) => chart.stop());
      else if (Date.now() - askedAt >= REFRESH_MS) again();
    });
    addEventListener("pagehide", () => charts.forEach((chart) => chart.stop()));
    const redraw = () => charts.forEach((chart) => chart.redraw());
    document.addEventListener("amos:theme", redraw);
  };

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
