// The charts of one route. uPlot draws them; colours come from style.css.
import { STATES, clock, duration, short } from './words.js';

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// How high a state stands in the band, so that it is told without its colour.
const HEIGHT = { flowing: 0.5, limited: 0.7, stalled: 1, idle: 0.16, starved: 0.3, paused: 0.3, rebalancing: 0.4, disconnected: 0.9, standby: 0.16, halted: 1 };
const HATCHED = ['stalled', 'halted', 'disconnected'];

// Counts have no halves: their axes go in whole steps.
const WHOLE = ['rate', 'lag'];
const STEPS = [...Array(16).keys()].flatMap((k) => [10 ** k, 2 * 10 ** k, 5 * 10 ** k]);

// runs returns the stretches of one state: {state, from, to} in seconds.
function runs(r) {
  const all = [];
  for (let i = 0; i < r.time.length; i++) {
    const t = r.time[i] / 1000;
    const state = STATES[r.state[i]];
    const last = all.at(-1);
    if (last && t - last.to > 5) { all.push({ state, from: t - 1, to: t }); continue; }
    if (last && last.state === state) { last.to = t; continue; }
    all.push({ state, from: last ? last.to : t - 1, to: t });
  }
  return all;
}

function hatch(ctx, x, y, w, h, line) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(x, y, w, h);
  ctx.clip();
  ctx.strokeStyle = line;
  ctx.lineWidth = 2 * devicePixelRatio;
  const step = 8 * devicePixelRatio;
  ctx.beginPath();
  for (let at = x - h - ((x - h) % step); at < x + w; at += step) {
    ctx.moveTo(at, y + h);
    ctx.lineTo(at + h, y);
  }
  ctx.stroke();
  ctx.restore();
}

export class Charts {
  constructor(boxes) {
    this.boxes = boxes; // name → element
    this.plots = {};
    new ResizeObserver(() => this.resize()).observe(boxes.band.parentElement);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { this.remove(); this.redraw?.(); });
  }

  remove() {
    for (const plot of Object.values(this.plots)) plot.destroy();
    this.plots = {};
  }

  resize() {
    for (const [name, plot] of Object.entries(this.plots)) {
      plot.setSize({ width: Math.max(160, this.boxes[name].clientWidth), height: plot.height });
    }
  }

  // draw shows a route's points up to now, in ms.
  draw(history, r, route, now) {
    this.redraw = () => this.draw(history, r, route, now);
    this.runs = runs(r);
    const to = now / 1000;
    const from = Math.max(to - 900, Math.min(to - 60, (r.time[0] ?? now) / 1000));
    const x = r.time.map((t) => t / 1000);
    const each = (f) => x.map((_, i) => (i > 0 && x[i] - x[i - 1] > 5 ? null : f(i)));
    const w = route.window;
    const percent = (column, limit) => each((i) => (limit ? 100 * r[column][i] / limit : null));
    const level = (n) => x.map(() => n);
    this.set('band', from, to, [x, level(0)]);
    this.set('window', from, to, [x, percent('messages', w.messages_limit), percent('bytes', w.bytes_limit),
      percent('now', w.messages_limit).map((p, i) => (r.now[i] == null ? null : p)), level(90), level(100)]);
    this.set('rate', from, to, [x, each((i) => history.rate(r, 'fetched', i)), each((i) => history.rate(r, 'acknowledged', i))]);
    this.set('lag', from, to, [x, each((i) => (r.lag[i] < 0 ? null : r.lag[i]))]);
    this.set('oldest', from, to, [x, each((i) => r.oldest[i] / 1000)]);
  }

  set(name, from, to, data) {
    const plot = this.plots[name] ??= new uPlot(this.options(name), data, this.boxes[name]);
    plot.setData(data, false);
    plot.setScale('x', { min: from, max: to });
  }

  options(name) {
    const ink = colour('ink-2');
    const grid = { stroke: colour('line'), width: 1 };
    const ticks = { ...grid, size: 4 };
    const font = '11px system-ui, sans-serif';
    const band = name === 'band';
    const line = (label, c, more) => ({ label, stroke: colour(c), width: 1.6, points: { show: false }, ...more });
    const percent = (u, v) => (v == null ? '–' : `${v.toFixed(0)} %`);
    const number = (u, v) => short(v);
    const series = {
      band: [{ show: false }],
      window: [line('messages', 'blue', { value: percent, width: 2 }), line('bytes', 'violet', { value: percent }),
        line('bound now', 'ink-2', { value: percent, dash: [6, 4] }),
        line('warning', 'amber', { value: percent, dash: [3, 4], width: 1.2 }), line('hard bound', 'red', { value: percent, width: 1.2 })],
      rate: [line('fetched', 'violet', { value: number }), line('acknowledged', 'blue', { value: number, width: 2 })],
      lag: [line('messages', 'blue', { value: number, fill: colour('blue-soft') })],
      oldest: [line('age', 'blue', { value: (u, v) => (v == null ? '–' : duration(1000 * v)), fill: colour('blue-soft') })],
    }[name];
    const values = {
      window: (u, all) => all.map((v) => `${v} %`), rate: (u, all) => all.map(short), lag: (u, all) => all.map(short),
      oldest: (u, all) => all.map((v) => (v < 60 ? `${v} s` : `${+(v / 60).toFixed(1)} min`)),
    }[name];
    const y = name === 'window' ? { range: [0, 108] } : band ? { range: [0, 1] } : { range: (u, min, max) => [0, Math.max(1, max * 1.1 || 1)] };
    return {
      width: Math.max(160, this.boxes[name].clientWidth), height: band ? 84 : 160, pxAlign: true,
      padding: [8, 26, 0, band ? 24 : 0], legend: { show: false }, cursor: { show: !band, drag: { x: false, y: false }, y: false },
      scales: { x: { time: true }, y },
      series: [{ value: (u, v) => (v == null ? '' : clock(1000 * v)) }, ...series],
      axes: [
        { stroke: ink, grid: band ? { show: false } : grid, ticks, font, size: 28, space: 64, values: (u, all) => all.map((v) => clock(1000 * v).slice(0, u.scales.x.max - u.scales.x.min > 300 ? 5 : 8)) },
        { show: !band, stroke: ink, grid, ticks, font, size: 48, values, space: 28, incrs: WHOLE.includes(name) ? STEPS : undefined, splits: name === 'window' ? () => [0, 25, 50, 75, 90, 100] : undefined },
      ],
      hooks: band ? { draw: [(u) => this.drawBand(u)] } : { drawClear: [(u) => this.shade(u)] },
      plugins: band ? [] : [tip()],
    };
  }

  // shade marks in every chart when the route was stalled.
  shade(u) {
    for (const run of this.runs) {
      if (!HATCHED.includes(run.state)) continue;
      const [x, w] = this.place(u, run);
      if (w <= 0) continue;
      u.ctx.save();
      u.ctx.fillStyle = colour('red-soft');
      u.ctx.fillRect(x, u.bbox.top, w, u.bbox.height);
      u.ctx.restore();
    }
  }

  place(u, run) {
    const left = Math.max(u.bbox.left, u.valToPos(run.from, 'x', true));
    const right = Math.min(u.bbox.left + u.bbox.width, u.valToPos(run.to, 'x', true));
    return [left, right > left ? Math.max(2, right - left) : 0];
  }

  drawBand(u) {
    const { ctx, bbox } = u;
    const p = devicePixelRatio;
    ctx.save();
    for (const run of this.runs) {
      const [x, w] = this.place(u, run);
      if (w <= 0) continue;
      const h = Math.round(bbox.height * HEIGHT[run.state]);
      const y = bbox.top + bbox.height - h;
      ctx.fillStyle = colour(`state-${run.state}`);
      ctx.fillRect(x, y, w, h);
      if (HATCHED.includes(run.state)) hatch(ctx, x, y, w, h, colour('hatch'));
      ctx.font = `600 ${12 * p}px system-ui, sans-serif`;
      ctx.textBaseline = 'middle';
      ctx.textAlign = 'left';
      const width = ctx.measureText(run.state).width;
      if (w < width + 12 * p) continue;
      const low = h < 20 * p;
      if (HATCHED.includes(run.state)) {
        ctx.fillStyle = colour(`state-${run.state}`);
        ctx.fillRect(x + 3 * p, y + h / 2 - 9 * p, width + 6 * p, 18 * p);
      }
      ctx.fillStyle = low ? colour('ink') : colour('on-state');
      ctx.fillText(run.state, x + 6 * p, low ? y - 9 * p : y + h / 2);
    }
    ctx.restore();
  }
}

// tip shows the values under the cursor in words, at the chart's top.
function tip() {
  let box;
  return {
    hooks: {
      init: (u) => {
        box = u.over.appendChild(document.createElement('div'));
        box.className = 'tip';
        box.hidden = true;
      },
      setCursor: (u) => {
        const { idx } = u.cursor;
        box.hidden = idx == null || u.cursor.left < 0;
        if (box.hidden) return;
        const words = u.series.slice(1).map((s, i) => [s, u.data[i + 1][idx]]).filter(([, v]) => v != null)
          .map(([s, v]) => `${s.label} ${s.value(u, v)}`);
        box.textContent = `${clock(1000 * u.data[0][idx])} · ${words.join(' · ')}`;
      },
    },
  };
}
