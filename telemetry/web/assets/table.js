// The table of routes. Rows and cells are kept and changed in place: two hundred routes a second are
// two hundred comparisons, not a new table.
import { duration, held, oldestAge, rank, short, stateOf } from './words.js';

export class Table {
  rows = new Map(); // name → {tr, cells, text}
  order = [];

  constructor({ table, find, none, select }) {
    this.body = table.tBodies[0];
    this.find = find;
    this.none = none;
    this.select = select;
    find.addEventListener('input', () => this.filter());
    this.body.addEventListener('click', (e) => {
      const tr = e.target.closest('tr');
      if (tr && !e.target.closest('a')) select(tr.dataset.route);
    });
    addEventListener('keydown', (e) => this.key(e));
    addEventListener('keyup', (e) => { if (e.key === '/') find.focus(); });
  }

  // draw brings the table up to the routes.
  draw(routes, rates, now) {
    const names = new Set(routes.map((r) => r.route));
    for (const [name, row] of this.rows) {
      if (!names.has(name)) { row.tr.remove(); this.rows.delete(name); }
    }
    for (const r of routes) this.row(r, rates(r), now);
    const order = [...routes].sort((a, b) => rank(a) - rank(b) || a.route.localeCompare(b.route, 'en', { numeric: true })).map((r) => r.route);
    if (order.join('\n') !== this.order.join('\n')) {
      const focused = document.activeElement;
      for (const name of order) this.body.append(this.rows.get(name).tr);
      if (this.body.contains(focused)) focused.focus();
      this.order = order;
    }
    this.filter();
  }

  row(r, rate, now) {
    const row = this.rows.get(r.route) ?? this.make(r.route);
    const state = stateOf(r);
    if (row.state !== state) {
      row.state = state;
      row.tr.dataset.state = state;
      row.shape.setAttribute('href', `#shape-${state}`);
    }
    const use = r.window.messages_limit ? Math.max(r.window.messages / r.window.messages_limit, r.window.bytes / r.window.bytes_limit) : 0;
    const percent = Math.round(100 * use);
    if (row.percent !== percent) {
      row.percent = percent;
      row.meter.value = Math.min(100, percent);
      row.meter.textContent = `${percent} %`;
    }
    this.write(row, [state, r.route, `${r.source} → ${r.sink}`, `${percent} %`, short(rate.in), short(rate.out),
      r.lag_known ? short(r.lag) : '?', duration(oldestAge(r, now)), held(r)]);
  }

  write(row, texts) {
    texts.forEach((text, i) => {
      if (row.text[i] !== text) row.cells[i].textContent = row.text[i] = text;
    });
  }

  make(name) {
    const tr = document.createElement('tr');
    tr.dataset.route = name;
    tr.setAttribute('role', 'row');
    const cells = ['State', 'Route', 'From → to', 'Window', 'In /s', 'Out /s', 'Lag', 'Oldest', 'Held back by'].map((label, i) => {
      const td = tr.appendChild(document.createElement('td'));
      td.setAttribute('role', 'cell');
      td.dataset.label = label;
      if (i >= 4 && i <= 7) td.className = 'number';
      return td;
    });
    const shape = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    shape.setAttribute('aria-hidden', 'true');
    shape.classList.add('shape');
    const use = shape.appendChild(document.createElementNS(shape.namespaceURI, 'use'));
    const word = document.createElement('span');
    cells[0].append(shape, word);
    const link = document.createElement('a');
    link.href = `#${encodeURIComponent(name)}`;
    cells[1].append(link);
    const meter = document.createElement('progress');
    meter.max = 100;
    meter.setAttribute('aria-label', `window of ${name}`);
    const number = document.createElement('span');
    cells[3].append(meter, number);
    const row = { tr, shape: use, meter, link, text: [], cells: [word, link, cells[2], number, ...cells.slice(4)] };
    this.rows.set(name, row);
    this.body.append(tr);
    return row;
  }

  // mark shows which route the details are of.
  mark(name) {
    for (const [n, row] of this.rows) {
      if (n === name) row.link.setAttribute('aria-current', 'true');
      else row.link.removeAttribute('aria-current');
      row.tr.classList.toggle('selected', n === name);
    }
  }

  // filter looks at the words of a row only: a rate of 1,042 is not route-042.
  filter() {
    const wanted = this.find.value.trim().toLowerCase();
    let shown = 0;
    for (const row of this.rows.values()) {
      const hidden = wanted !== '' && ![0, 1, 2, 8].some((i) => row.text[i].toLowerCase().includes(wanted));
      if (row.tr.hidden !== hidden) row.tr.hidden = hidden;
      if (!hidden) shown++;
    }
    this.none.hidden = shown > 0;
    this.none.textContent = this.rows.size ? `No route matches “${this.find.value}”.` : 'There are no routes.';
  }

  key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === '/' && document.activeElement !== this.find) {
      e.preventDefault(); // or a browser opens its own search; the focus moves when the key is let go
      return;
    }
    if (e.key === 'Escape' && document.activeElement === this.find) {
      this.find.value = '';
      this.filter();
      return;
    }
    if (e.key !== 'ArrowDown' && e.key !== 'ArrowUp') return;
    const from = document.activeElement;
    if (from !== this.find && !this.body.contains(from)) return;
    e.preventDefault();
    const shown = this.order.map((n) => this.rows.get(n)).filter((row) => !row.tr.hidden);
    const at = shown.findIndex((row) => row.tr.contains(from));
    shown[Math.min(shown.length - 1, Math.max(0, at + (e.key === 'ArrowDown' ? 1 : -1)))]?.link.focus();
  }
}
