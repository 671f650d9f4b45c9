/** A socket that answers with what a daemon once answered: the same for both clients, and on every day. */
import answers from './answers.json' with { type: 'json' };

/** Ends with `await using`. */
export function recordedDaemon(socket: string): AsyncDisposable {
  const recorded: Readonly<Record<string, unknown>> = answers.answers;
  const server = Bun.serve({
    unix: socket,
    fetch(request) {
      const url = new URL(request.url);
      const headers = { 'Api-Version': '1.48', 'Content-Type': 'application/json', Ostype: 'linux' };
      if (url.pathname === '/_ping')
        return new Response('OK', { headers: { ...headers, 'Content-Type': 'text/plain' } });
      const path = decodeURIComponent(url.pathname.replace(/^\/v[\d.]+/, ''));
      const all = path === '/containers/json' && url.searchParams.get('all') === '1' ? '?all=1' : '';
      const answer = recorded[`${path}${all}`];
      if (answer === undefined) return Response.json({ message: `no such object: ${path}` }, { status: 404, headers });
      return Response.json(answer, { headers });
    },
  });
  return { [Symbol.asyncDispose]: () => server.stop(true) };
}
