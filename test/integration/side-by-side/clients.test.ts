import { expect, test } from 'bun:test';
import { TestDaemon } from '../../support/daemon.ts';
import { allowed, compare, type Engine, show } from './compare.ts';
import { steps } from './script.ts';

/** Where the client names itself. */
const asDocker = (text: string): string =>
  text.replace(/^berth: /gm, 'docker: ').replace(/(Usage: {2}|\bRun '|\bSee ')berth /g, '$1docker ');

test('berth does and says what the stock CLI does and says, but for what client-differences.txt lists', async () => {
  await using stock = await TestDaemon.start();
  await using ours = await TestDaemon.start();
  const berth: Engine = {
    socket: ours.socket,
    async docker(args, options) {
      const said = await ours.berth(args, options);
      return { ...said, stdout: asDocker(said.stdout), stderr: asDocker(said.stderr) };
    },
  };
  const { commands, differences } = await compare(stock, berth, steps);
  expect(commands).toBeGreaterThanOrEqual(80);
  const reasons = allowed('client-differences.txt');
  const fresh = differences.filter((d) => !reasons.has(d.command));
  const gone = [...reasons.keys()].filter((c) => !differences.some((d) => d.command === c));
  expect(fresh.map(show).join('\n')).toBe('');
  expect(gone).toEqual([]); // a difference that is no more must leave the list
}, 300_000);
