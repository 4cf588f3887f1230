// The page: one stream in, a table and the details of one route out.
import { Charts } from './charts.js';
import { drawDetail } from './detail.js';
import { History } from './history.js';
import { follow } from './stream.js';
import { Table } from './table.js';
import { ALARM, STATES, TROUBLE, clock, duration, stateOf } from './words.js';

const by = (id) => document.getElementById(id);
const history = new History();
const charts = new Charts(Object.fromEntries(['band', 'window', 'rate', 'lag', 'oldest'].map((n) => [n, by(`chart-${n}`)])));
const table = new Table({ table: by('routes'), find: by('find'), none: by('none'), select: (name) => { location.hash = encodeURIComponent(name); } });

let status = null; // the latest, with `at`: when it came, by this machine's clock
let selected = '';
let chosen = false; // by a person; until then the first of the table is shown
let spoken = new Map(); // what was told of each route

const nameInHash = () => { try { return decodeURIComponent(location.hash.slice(1)); } catch { return ''; } };

// rates of a route over the last second.
function rates(route) {
  const r = history.of(route.route);
  const i = r.time.length - 1;
  return { in: history.rate(r, 'fetched', i), out: history.rate(r, 'acknowledged', i) };
}

function draw() {
  const now = Date.parse(status.time);
  table.draw(status.routes, rates, now);
  drawCounts();
  choose();
  const route = status.routes.find((r) => r.route === selected);
  by('detail').hidden = !route;
  if (!route) return;
  drawDetail(route, status, rates(route), now);
  charts.draw(history, history.of(selected), route, now);
}

function choose() {
  const wanted = nameInHash();
  if (wanted && status.routes.some((r) => r.route === wanted)) { selected = wanted; chosen = true; }
  if (!chosen && !selected) selected = table.order[0] ?? '';
  table.mark(selected);
}

function drawCounts() {
  const counts = new Map();
  for (const r of status.routes) counts.set(stateOf(r), (counts.get(stateOf(r)) ?? 0) + 1);
  const n = status.routes.length;
  const words = [['span', `${n} ${n === 1 ? 'route' : 'routes'}`]];
  for (const s of [...TROUBLE, 'limited', 'flowing', 'idle', 'standby', 'ended']) {
    if (counts.has(s)) words.push([ALARM.includes(s) ? 'strong' : 'span', `${counts.get(s)} ${s}`]);
  }
  const text = words.map(([, w]) => w).join(' · ');
  if (by('counts').dataset.text !== text) {
    by('counts').dataset.text = text;
    by('counts').replaceChildren(...words.map(([tag, w]) => { const e = document.createElement(tag); e.textContent = w; return e; }));
  }
  const alarm = ALARM.reduce((sum, s) => sum + (counts.get(s) ?? 0), 0);
  document.title = alarm ? `(${alarm}) Sluice` : 'Sluice';
  by('process').textContent = `Sluice ${status.version} · ${status.instance} · up ${duration(Date.parse(status.time) - Date.parse(status.started))}`;
  by('notice').hidden = !status.draining;
  if (status.draining) by('notice').textContent = 'Draining: nothing more is fetched, what is in flight is finished, then the daemon ends.';
}

// speak tells a screen reader when a route gets into trouble or out of it.
function speak() {
  const news = [];
  const now = new Map();
  for (const r of status.routes) {
    const state = ALARM.includes(stateOf(r)) ? stateOf(r) : 'well';
    now.set(r.route, state);
    if (spoken.has(r.route) && spoken.get(r.route) !== state) news.push(`${r.route} is ${state === 'well' ? stateOf(r) : state}`);
  }
  spoken = now;
  if (news.length) by('spoken').textContent = news.length > 5 ? `${news.length} routes have changed` : news.join(', ');
}

function link(state) {
  const box = by('link');
  if (box.dataset.link === state && state === 'live') return;
  box.dataset.link = state;
  const last = status ? `, as of ${clock(status.at)}` : '';
  by('link-text').textContent = state === 'live' ? 'live' : `reconnecting${last}`;
  document.body.classList.toggle('stale', state !== 'live');
}

follow({
  link,
  history: (h) => history.take(h),
  status: (s) => {
    status = { ...s, at: Date.now() };
    const time = Date.parse(s.time);
    for (const r of s.routes) history.add(time, r, STATES.indexOf(r.state));
    speak();
    draw();
  },
});
addEventListener('hashchange', () => { if (status) draw(); });
