// What the charts draw: for each route the points of the last quarter of an hour, oldest first.

import { oldestAge } from './words.js';

const KEEP = 15 * 60; // points
const COLUMNS = ['state', 'messages', 'bytes', 'fetched', 'acknowledged', 'lag', 'oldest'];

export class History {
  routes = new Map(); // name → {time, state, messages, …, now}, arrays of one length

  of(name) {
    let r = this.routes.get(name);
    if (!r) {
      r = { time: [], now: [] };
      for (const c of COLUMNS) r[c] = [];
      this.routes.set(name, r);
    }
    return r;
  }

  // take adds the points of a history event.
  take({ reset, times, routes }) {
    if (reset) this.routes.clear();
    for (const [name, columns] of Object.entries(routes)) {
      const r = this.of(name);
      const last = r.time.at(-1) ?? 0;
      times.forEach((t, i) => {
        if (t > last) this.push(r, t, columns.map((c) => c[i]), null);
      });
    }
  }

  // add adds a point of a status event.
  add(time, route, stateNumber) {
    const r = this.of(route.route);
    if (time <= (r.time.at(-1) ?? 0)) return;
    this.push(r, time, [stateNumber, route.window.messages, route.window.bytes, route.counts.fetched_messages,
      route.counts.acknowledged_messages, route.lag_known ? route.lag : -1, oldestAge(route, time) ?? 0], route.window.adaptive ? route.window.messages_now : null);
  }

  push(r, time, values, now) {
    r.time.push(time);
    r.now.push(now);
    COLUMNS.forEach((c, i) => r[c].push(values[i]));
    if (r.time.length <= KEEP) return;
    for (const column of Object.values(r)) column.shift();
  }

  // rate returns what a counter grew by a second up to point i; null where it is not known.
  rate(r, column, i) {
    const from = i - 1;
    if (from < 0) return null;
    const seconds = (r.time[i] - r.time[from]) / 1000;
    const grown = r[column][i] - r[column][from];
    return seconds > 0 && seconds < 5 && grown >= 0 ? grown / seconds : null;
  }
}
