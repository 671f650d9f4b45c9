import { expect, test } from 'bun:test';
import { busyboxImage } from '../../support/base-images.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { Dockerd } from '../../support/dockerd.ts';
import { allowed, compare, listOf, show } from './compare.ts';
import { steps } from './script.ts';

test('the stock CLI sees no difference between dockerd and berthd, but those that differences.txt lists', async () => {
  await using peer = await Dockerd.start();
  const image = await busyboxImage();
  await peer.docker(['load', '-q', '-i', image.path]);
  await using ours = await TestDaemon.start();
  const { commands, differences } = await compare(peer, ours, steps);
  expect(commands).toBeGreaterThanOrEqual(80);
  const reasons = allowed(await listOf(peer));
  const fresh = differences.filter((d) => !reasons.has(d.command));
  const gone = [...reasons.keys()].filter((c) => !differences.some((d) => d.command === c));
  expect(fresh.map(show).join('\n')).toBe('');
  expect(gone).toEqual([]); // a difference that is no more must leave the list
}, 300_000);
