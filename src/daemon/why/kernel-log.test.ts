import { expect, test } from 'bun:test';
import { lastIn } from './kernel-log.ts';

const kill = (group: string, task: string, pid: number): string =>
  `6,71800,15438880685,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=${group},task_memcg=${group},task=${task},pid=${pid},uid=0\n`;
const killed = (pid: number, name: string, rss: number): string =>
  `3,71801,15438880690,-;Memory cgroup out of memory: Killed process ${pid} (${name}) total-vm:17000kB, anon-rss:${rss}kB, file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:68kB oom_score_adj:0\n`;

test('the last one of the group, with its name and size', () => {
  const lines = [
    '4,1,1,-;something else\n',
    kill('/berth/abc', 'first', 10),
    killed(10, 'first', 1000),
    kill('/berth/other', 'mine', 11),
    killed(11, 'mine', 5),
    kill('/docker/x/berth/abc', 'my, prog,pid=1,', 12),
    killed(12, 'my, prog,pid=1,', 2000),
    kill('/berth/other', 'later', 13),
  ];
  expect(lastIn('/abc', lines)).toEqual({ name: 'my, prog,pid=1,', rssBytes: 2004 * 1024 });
  expect(lastIn('/other', lines)).toEqual({ name: 'later', rssBytes: undefined });
  expect(lastIn('/none', lines)).toBeUndefined();
});

test('a group inside the container counts, one whose name only ends alike does not', () => {
  expect(lastIn('/abc', [kill('/berth/abc/inner', 'x', 1)])?.name).toBe('x');
  expect(lastIn('/abc', [kill('/berth/zabc', 'x', 1)])).toBeUndefined();
});
