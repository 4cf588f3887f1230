// The words for what /status says, for people.

// States as flowcontrol numbers them in a history event. Trouble stands first in the table.
export const STATES = ['disconnected', 'flowing', 'limited', 'stalled', 'idle', 'starved', 'paused', 'rebalancing', 'standby', 'halted'];

// STALL_AFTER is how long a wait goes without an acknowledgement before it is a stall, in ms.
const STALL_AFTER = 1000;

// ALARM is what nobody wants to last.
export const ALARM = ['halted', 'stalled', 'disconnected'];
export const TROUBLE = ['halted', 'stalled', 'disconnected', 'starved', 'paused', 'rebalancing'];

export function rank(route) {
  const i = TROUBLE.indexOf(stateOf(route));
  return i < 0 ? TROUBLE.length : i;
}

export function stateOf(route) { return route.ended ? 'ended' : route.state; }

export const CAUSES = {
  'window.messages': 'the window is full of messages',
  'window.bytes': 'the window is full by its memory',
  lane: 'one partition holds its whole share of the window',
  uncommitted: 'too much is acknowledged and not yet committed',
  budget: 'the memory of the process is used up',
  oversize: 'a message that is larger than the free room waits for the window to empty',
  rate: 'the configured rate is reached',
};

export const BLOCKERS = {
  'sink.ack': 'the sink has not acknowledged what it has',
  'sink.retry': 'the sink refuses the messages; they are tried again',
  'sink.throttled': 'the sink asked to slow down',
  'sink.disconnected': 'the sink is away',
  'sink.dead_letter': 'the dead-letter target has not taken the messages',
  transform: 'the mapping is still at work on them',
  commit: 'the source has not confirmed the commit',
  operator: 'an operator wants it so',
};

const ADVICE = {
  'sink.ack': 'Look at the sink: its leader, its disk, its load. Nothing is lost meanwhile, and it goes on by itself.',
  'sink.retry': 'The last error below says why. Sluice tries again for ever; what is refused for good halts the route or goes where on_reject says.',
  'sink.throttled': 'A quota of the sink holds it. Raise the quota, or accept the pace.',
  'sink.disconnected': 'Is the sink up, and does its address resolve from here? Sluice connects again by itself.',
  'sink.dead_letter': 'Look at the dead-letter target: until it takes them, the messages behind wait.',
  transform: 'The mapping costs more than the sink. Look at the CPU of this process.',
  commit: 'The source confirms commits slowly. Look at its group coordinator, or its leader.',
  operator: 'sluice resume lets it go on.',
};

// sentence says in words what a route does, for how long, and who holds it.
export function sentence(route, now) {
  const since = duration(now - Date.parse(route.since));
  const held = [CAUSES[route.cause], BLOCKERS[route.blocker]].filter(Boolean).join(', and ');
  switch (stateOf(route)) {
    case 'stalled': return `Stalled, without an acknowledgement for ${duration(now - Date.parse(route.since) + STALL_AFTER)}: ${held || 'it waits for room'}.`;
    case 'limited': return `Limited for ${since}: ${held || 'it waits for room'}.${route.cause === 'rate' ? '' : ' Acknowledgements arrive: the sink sets the pace.'}`;
    case 'flowing': return `Messages have been flowing for ${since}.`;
    case 'idle': return `Idle for ${since}: there is nothing to read.`;
    case 'starved': return `Starved for ${since}: there is something to read, but the source brings nothing.`;
    case 'paused': return `Paused for ${since}${route.paused ? ` by ${route.paused.who}: ${route.paused.why}` : ' by an operator'}.`;
    case 'rebalancing': return `Partitions have been moving for ${since}.`;
    case 'standby': return `Standing by for ${since}${route.owner ? `: ${route.owner} owns the source` : ''}.`;
    case 'halted': return `Halted for ${since}${route.halted ? `: ${route.halted.detail}` : ''}.`;
    case 'ended': return 'The source has ended, and everything is moved.';
    default: return `Disconnected for ${since}: ${awayEnds(route)}${route.detail ? ` (${route.detail})` : ''}.`;
  }
}

function awayEnds(route) {
  const away = [];
  if (!route.source_connected) away.push('the source is away');
  if (!route.sink_connected) away.push('the sink is away');
  return away.join(', ') || 'it cannot fetch';
}

export function advice(route) {
  const state = stateOf(route);
  if (route.halted) return route.halted.way;
  if (state === 'stalled') return ADVICE[route.blocker] || '';
  if (route.cause === 'rate') return `sluice limit ${route.route} --messages none --bytes none lifts the limit; --messages 1000/s sets another.`;
  if (state === 'limited') return route.cause === 'lane' || route.blocker !== 'sink.ack' ? ADVICE[route.blocker] || '' : 'This is healthy. If it should go faster, make the sink faster, or the window larger.';
  if (state === 'disconnected') return 'Is the broker up, and does its address resolve from here? Sluice connects again by itself; nothing is dropped.';
  if (route.paused && state === 'paused') return `sluice resume ${route.route} lets it go on. What is in flight is finished; nothing is lost unless upstream removes it.`;
  if (state === 'starved') return 'Look at the source: its leaders, its quotas, its log.';
  return '';
}

// held is the short form for the table.
export function held(route) {
  if (route.halted) return route.halted.reason;
  if (stateOf(route) === 'disconnected') return awayEnds(route);
  if (route.paused && stateOf(route) === 'paused') return `operator · ${route.paused.why}`;
  if (!route.cause) return stateOf(route) === 'standby' ? route.owner || '' : '';
  return [route.blocker, route.cause].filter(Boolean).join(' · ');
}

export function duration(ms) {
  if (ms == null) return '–';
  const s = Math.max(0, ms) / 1000;
  if (!Number.isFinite(s)) return '–';
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

// oldestAge is how long the oldest message has been in flight, in ms; null if none is.
export function oldestAge(route, now) {
  const fetched = Date.parse(route.in_flight?.[0]?.oldest ?? '');
  return fetched > 0 ? Math.max(0, now - fetched) : null;
}

export function count(n) { return n == null ? '?' : Math.round(n).toLocaleString('en'); }

// short is a number for a column: 1,234 or 12.3 k.
export function short(n) {
  if (n == null || !Number.isFinite(n)) return '–';
  if (n < 10000) return Math.round(n).toLocaleString('en');
  const [by, unit] = n < 1e6 ? [1e3, 'k'] : n < 1e9 ? [1e6, 'M'] : [1e9, 'G'];
  return `${(n / by).toFixed(n / by < 100 ? 1 : 0)} ${unit}`;
}

export function bytes(n) {
  if (n < 1024) return `${n} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let i = -1;
  do { n /= 1024; i++; } while (n >= 1024 && i < units.length - 1);
  return `${n < 10 && n % 1 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

export function clock(time) { return new Date(time).toLocaleTimeString('en-GB'); }
