import { afterEach, expect, test } from 'bun:test';
import { listReferrers } from './referrers.ts';
import { RegistryClient } from './registry-client.ts';
import { defaultRegistrySettings } from './settings.ts';

const DIGEST = `sha256:${'d'.repeat(64)}`;
let server: ReturnType<typeof Bun.serve> | undefined;
afterEach(() => server?.stop(true));

/** Answers by path and query; anything else is 404. */
async function found(answers: Readonly<Record<string, { body: unknown; link?: string }>>): Promise<unknown> {
  server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: ({ url }) => {
      const { pathname, search } = new URL(url);
      const answer = answers[pathname + search];
      if (answer === undefined) return new Response('{}', { status: 404 });
      return Response.json(answer.body, answer.link === undefined ? {} : { headers: { link: answer.link } });
    },
  });
  const settings = { ...defaultRegistrySettings, certificateDirectories: [] };
  const repository = await new RegistryClient(() => settings).repository(`127.0.0.1:${server.port}`, 'app');
  return listReferrers(repository, DIGEST);
}

const index = (...names: string[]) => ({ schemaVersion: 2, manifests: names.map((name) => ({ digest: name })) });

test('page after page, and never elsewhere', async () => {
  const first = `/v2/app/referrers/${DIGEST}`;
  expect(
    await found({
      [first]: { body: index('a', 'b'), link: `<${first}?last=b>; rel="next"` },
      [`${first}?last=b`]: { body: index('c'), link: '<http://other.example/v2/app/referrers/x>; rel="next"' },
    }),
  ).toEqual([{ digest: 'a' }, { digest: 'b' }, { digest: 'c' }]);
});

test('of a registry that does not know the question, the index that clients keep; else nothing', async () => {
  const tag = `/v2/app/manifests/${DIGEST.replace(':', '-')}`;
  expect(await found({ [tag]: { body: index('kept') } })).toEqual([{ digest: 'kept' }]);
  await server?.stop(true);
  expect(await found({})).toBeUndefined();
});
