// The one connection to the daemon.

const RETRY = 2000; // ms; as the server says for reconnects that the browser makes by itself

// follow calls on.history, on.status and on.link('live' | 'away') for ever. A stream that the browser has
// given up is opened anew and goes on after the last event.
export function follow(on) {
  let last = '';
  const open = () => {
    const stream = new EventSource(`status/stream${last ? `?after=${encodeURIComponent(last)}` : ''}`);
    stream.addEventListener('history', (e) => on.history(JSON.parse(e.data)));
    stream.addEventListener('status', (e) => {
      last = e.lastEventId;
      on.link('live');
      on.status(JSON.parse(e.data));
    });
    stream.onerror = () => {
      on.link('away');
      if (stream.readyState === EventSource.CLOSED) setTimeout(open, RETRY);
    };
    // A page that is left must not hold one of the few places.
    addEventListener('pagehide', () => stream.close(), { once: true });
  };
  addEventListener('pageshow', (e) => { if (e.persisted) open(); });
  open();
}
