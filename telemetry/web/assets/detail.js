// The details of one route, in words and lists.
import { BLOCKERS, CAUSES, advice, bytes, clock, count, duration, oldestAge, sentence, short, stateOf } from './words.js';

const by = (id) => document.getElementById(id);

// set changes an element's text only if it differs.
function set(element, text) { if (element.textContent !== text) element.textContent = text; }

// node makes an element. What is not a string or an element is left out.
function node(tag, attributes, ...children) {
  const n = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes ?? {})) if (v != null) n.setAttribute(k, v);
  n.append(...children.filter((c) => typeof c === 'string' || c instanceof Node));
  return n;
}

// list draws a table of rows, or what to say if there are none; nothing if it is as before.
function list(box, columns, rows, none) {
  const key = JSON.stringify(rows.map((r) => r.map((c) => c?.outerHTML ?? c)));
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  if (!rows.length) { box.replaceChildren(node('p', { class: 'none' }, none)); return; }
  const cell = (c, i) => node('td', { 'data-label': columns[i] }, c ?? '');
  box.replaceChildren(node('table', {}, node('thead', {}, node('tr', {}, ...columns.map((c) => node('th', { scope: 'col' }, c)))),
    node('tbody', {}, ...rows.map((r) => node('tr', {}, ...r.map(cell))))));
}

const code = (text) => (text ? node('code', {}, text) : '');

// trace is the link to a stall's trace, or its id.
function trace(id, template) {
  if (!id) return 'off';
  if (!template) return code(id);
  return node('a', { href: template.replaceAll('{trace_id}', id), target: '_blank', rel: 'noopener noreferrer' }, `trace ${id.slice(0, 8)}`);
}

function stalls(route, template, now) {
  return (route.stalls ?? []).toReversed().map((s) => {
    const end = s.end ? Date.parse(s.end) : now;
    const kind = s.stalled > 0 ? 'stalled' : 'limited';
    const words = [CAUSES[s.cause], BLOCKERS[s.blocker]].filter(Boolean).join(', and ');
    return [node('span', { class: 'kind', 'data-state': kind }, s.end ? kind : `${kind} now`), clock(s.begin), duration(end - Date.parse(s.begin)),
      node('span', {}, `${words} `, code([s.cause, s.blocker].filter(Boolean).join(' · '))), trace(s.trace_id, template)];
  });
}

// errors lists what went wrong, how often, and what to do.
function errors(route, now) {
  const rows = [];
  const add = (what, n, when, way) => rows.push([what, n == null ? '' : count(n), when, way]);
  if (route.halted) add(`${route.halted.reason}: ${route.halted.detail}`, 1, clock(route.halted.since), route.halted.way);
  if (!route.ended && !route.halted) {
    if (!route.source_connected) add(`source is away: ${route.detail || 'no error yet'}`, null, clock(route.down ?? now), 'Sluice connects again by itself.');
    else if (!route.sink_connected) add(`sink is away: ${route.detail || 'no error yet'}`, null, clock(route.down ?? now), 'Sluice connects again by itself.');
  }
  for (const lane of route.in_flight ?? []) {
    if (lane.error) add(`${lane.partition} at ${lane.offset}: ${lane.error}`, lane.attempts || 1, 'now', 'Tried again for ever; a message refused for good goes where on_reject says.');
  }
  const c = route.counts;
  const total = (n, what, way) => { if (n > 0) add(what, n, 'since start', way); };
  total(c.retries, 'writes tried again', 'Nothing is lost. Many of them: look at the sink.');
  total(c.dead_lettered, 'messages in the dead letters', `sluice dead-letters list ${route.route} -c FILE`);
  total(c.dropped, 'messages dropped, as configured', 'on_reject: drop, or a source that may lose messages.');
  total(c.stale, 'messages too old, as configured', 'stale: in the configuration.');
  for (const g of (route.gaps ?? []).toReversed()) add(`gap in ${g.partition}: ${g.from} to ${g.to - 1} vanished before they were read`, g.to - g.from, clock(g.time), 'Expired, purged or truncated at the source; retention was shorter than the stall.');
  for (const a of (route.actions ?? []).toReversed()) add(`${a.who} had ${a.what} done${a.why ? `: ${a.why}` : ''}`, null, clock(a.time), '');
  return rows;
}

// lagWords says how much is unread, and how long that lasts.
function lagWords(route) {
  if (!route.lag_known) return 'not known';
  const u = route.unread ?? {};
  const seconds = (s) => duration(s * 1000);
  return [`${count(route.lag)} messages to read`, u.age_seconds != null && `the oldest ${seconds(u.age_seconds)} old`,
    u.caught_up_seconds != null && `caught up in ${seconds(u.caught_up_seconds)}`,
    u.loss_seconds === 0 && `past ${u.limit}: some may be removed already`,
    u.loss_seconds > 0 && `lost in ${seconds(u.loss_seconds)} by ${u.limit}`].filter(Boolean).join(', ');
}

export function drawDetail(route, status, rate, now) {
  const state = stateOf(route);
  set(by('detail-title'), route.route);
  by('detail').dataset.state = state;
  const chip = by('detail-state');
  if (chip.dataset.state !== state) {
    chip.dataset.state = state;
    chip.innerHTML = '<svg class="shape" aria-hidden="true"><use></use></svg><span></span>';
    chip.querySelector('use').setAttribute('href', `#shape-${state}`);
    chip.querySelector('span').textContent = state;
  }
  set(by('sentence'), sentence(route, now));
  set(by('advice'), [route.evidence && `Its broker: ${route.evidence}.`, advice(route)].filter(Boolean).join(' '));
  const w = route.window;
  const bound = w.adaptive ? `, bound now ${count(w.messages_now)}` : '';
  set(by('window-now'), `${count(w.messages)} of ${count(w.messages_limit)} messages${bound} · ${bytes(w.bytes)} of ${bytes(w.bytes_limit)}`);
  by('key-now').hidden = !w.adaptive;
  set(by('rate-now'), `${short(rate.in)} fetched, ${short(rate.out)} acknowledged a second`);
  set(by('lag-now'), lagWords(route));
  const oldest = route.in_flight?.[0];
  set(by('oldest-now'), oldest ? `${duration(oldestAge(route, now))}, ${oldest.partition} at ${oldest.offset}` : 'nothing is in flight');
  for (const [id, text] of [['band', sentence(route, now)], ['window', by('window-now').textContent], ['rate', by('rate-now').textContent],
    ['lag', by('lag-now').textContent], ['oldest', by('oldest-now').textContent]]) {
    by(`chart-${id}`).setAttribute('aria-label', `${id}: ${text}`);
  }
  list(by('stalls'), ['State', 'Began', 'Lasted', 'Why', 'Trace'], stalls(route, status.trace_url, now), 'It has not waited for room for as long as a tenth of a second.');
  list(by('errors'), ['What', 'How often', 'When', 'What to do'], errors(route, now), 'None.');
  list(by('flight'), ['Partition', 'Messages', 'Oldest', 'At', 'Held by'], (route.in_flight ?? []).map((l) => [l.partition, count(l.messages),
    duration(oldestAge({ in_flight: [l] }, now)), String(l.offset), code([l.blocker, l.paused ? 'paused: its share is full' : ''].filter(Boolean).join(' · '))]), 'Nothing is in flight.');
  facts(route);
}

function facts(route) {
  const w = route.window;
  const all = [['Guarantee', route.guarantee], ['Order', route.order], ['Memory', route.memory],
    ['A crash now doubles', `${count(w.uncommitted)} messages, never more than ${count(w.uncommitted_limit)}`],
    ['Touches', (route.touches ?? []).join(' · ')], ['Moved', `${count(route.counts.acknowledged_messages)} messages acknowledged, ${count(route.counts.committed_messages)} committed`]];
  const box = by('facts');
  const key = JSON.stringify(all);
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  box.replaceChildren(...all.filter(([, v]) => v).flatMap(([k, v]) => [node('dt', {}, k), node('dd', {}, v)]));
}
