import { expect, test } from 'bun:test';
import type { ContainerRecord } from '#container/record.ts';
import { testRecord } from '../container/testing.ts';
import { bootGraph, composeDependencies, dependents } from './boot-graph.ts';

function service(name: string, dependsOn = '', change: { project?: string; oneoff?: string } = {}): ContainerRecord {
  const record = testRecord({ id: `id-${name}`, name });
  const { project = 'shop', oneoff = 'False' } = change;
  const labels = {
    'com.docker.compose.project': project,
    'com.docker.compose.service': name.replace(/-\d$/, ''),
    'com.docker.compose.oneoff': oneoff,
    ...(dependsOn === '' ? {} : { 'com.docker.compose.depends_on': dependsOn }),
  };
  return { ...record, config: { ...record.config, Labels: labels } };
}

const edges = (...records: ContainerRecord[]): Record<string, string[]> =>
  Object.fromEntries([...bootGraph(records)].map(([id, on]) => [id, on.map((d) => `${d.id} ${d.condition}`)]));

test('what Compose writes', () => {
  expect(
    composeDependencies('db:service_healthy:false,job:service_completed_successfully:true,x:service_started:false,y'),
  ).toEqual([
    ['db', 'healthy'],
    ['job', 'completed'],
    ['x', 'started'],
    ['y', 'started'],
  ]);
  expect(composeDependencies('')).toEqual([]);
});

test('services of one project, all containers of a service, no one-off ones, no other project’s', () => {
  const all = [
    service('web', 'db:service_healthy:false'),
    service('db-1'),
    service('db-2'),
    service('db-3', '', { oneoff: 'True' }),
    { ...service('db', '', { project: 'other' }), id: 'id-other' },
  ];
  expect(edges(...all)).toEqual({ 'id-web': ['id-db-1 healthy', 'id-db-2 healthy'] });
  expect(Object.fromEntries(dependents(bootGraph(all)))).toEqual({ 'id-db-1': ['id-web'], 'id-db-2': ['id-web'] });
});

test('a missing service, and one’s own, are no dependency', () => {
  expect(edges(service('web', 'gone,web'))).toEqual({});
});

test('a circle is opened where it closes, the rest stays', () => {
  expect(edges(service('aa', 'bb'), service('bb', 'cc'), service('cc', 'aa,dd'), service('dd'))).toEqual({
    'id-aa': ['id-bb started'],
    'id-bb': ['id-cc started'],
    'id-cc': ['id-dd started'],
  });
});

test('who shares a namespace waits for its owner', () => {
  const user = testRecord({ id: 'id-user', name: 'user' });
  const hostConfig = { ...user.hostConfig, NetworkMode: 'container:owner' };
  const owner = testRecord({ id: 'id-owner', name: 'owner' });
  expect(edges({ ...user, hostConfig }, owner)).toEqual({ 'id-user': ['id-owner started'] });
});
