/** Operations of swarm mode and of managed plugins: none has a job; there are no plugins, and all else is refused. */
import { notFound } from '#errdefs/errors.ts';
import { needsSwarm, notYet, type Route, route } from '../route.ts';

const NO_NODE = 'This node is not part of a swarm';

export const swarmRoutes: readonly Route[] = [
  needsSwarm('GET', '/swarm', 'inspect the swarm'),
  notYet('POST', '/swarm/init', 24, 'start a swarm'),
  notYet('POST', '/swarm/join', 24, 'join a swarm'),
  needsSwarm('POST', '/swarm/leave', 'leave the swarm', NO_NODE),
  needsSwarm('POST', '/swarm/update', 'update the swarm'),
  needsSwarm('GET', '/swarm/unlockkey', 'show the unlock key of the swarm'),
  needsSwarm('POST', '/swarm/unlock', 'unlock the swarm', NO_NODE),
  needsSwarm('GET', '/nodes', 'list nodes'),
  needsSwarm('GET', '/nodes/{id}', 'inspect a node'),
  needsSwarm('DELETE', '/nodes/{id}', 'remove a node'),
  needsSwarm('POST', '/nodes/{id}/update', 'update a node'),
  needsSwarm('GET', '/services', 'list services'),
  needsSwarm('POST', '/services/create', 'create a service'),
  needsSwarm('GET', '/services/{id}', 'inspect a service'),
  needsSwarm('DELETE', '/services/{id}', 'remove a service'),
  needsSwarm('POST', '/services/{id}/update', 'update a service'),
  needsSwarm('GET', '/services/{id}/logs', 'read the logs of a service'),
  needsSwarm('GET', '/tasks', 'list tasks'),
  needsSwarm('GET', '/tasks/{id}', 'inspect a task'),
  needsSwarm('GET', '/tasks/{id}/logs', 'read the logs of a task'),
  needsSwarm('GET', '/secrets', 'list secrets'),
  needsSwarm('POST', '/secrets/create', 'create a secret'),
  needsSwarm('GET', '/secrets/{id}', 'inspect a secret'),
  needsSwarm('DELETE', '/secrets/{id}', 'remove a secret'),
  needsSwarm('POST', '/secrets/{id}/update', 'update a secret'),
  needsSwarm('GET', '/configs', 'list configs'),
  needsSwarm('POST', '/configs/create', 'create a config'),
  needsSwarm('GET', '/configs/{id}', 'inspect a config'),
  needsSwarm('DELETE', '/configs/{id}', 'remove a config'),
  needsSwarm('POST', '/configs/{id}/update', 'update a config'),
];

export const pluginRoutes: readonly Route[] = [
  // None can be installed, so none is there: `docker inspect NAME` asks here last and wants to hear exactly that.
  route('GET', '/plugins', 25, 'list plugins', (ctx) => ctx.sendJson(200, [])),
  notYet('GET', '/plugins/privileges', 25, 'show what a plugin asks for'),
  notYet('POST', '/plugins/pull', 25, 'install a plugin'),
  notYet('POST', '/plugins/create', 25, 'create a plugin'),
  route('GET', '/plugins/{name...}/json', 25, 'inspect a plugin', (ctx) => {
    throw notFound(`plugin "${ctx.param('name')}" not found`);
  }),
  notYet('POST', '/plugins/{name...}/enable', 25, 'enable a plugin'),
  notYet('POST', '/plugins/{name...}/disable', 25, 'disable a plugin'),
  notYet('POST', '/plugins/{name...}/upgrade', 26, 'upgrade a plugin'),
  notYet('POST', '/plugins/{name...}/push', 25, 'push a plugin'),
  notYet('POST', '/plugins/{name...}/set', 25, 'configure a plugin'),
  notYet('DELETE', '/plugins/{name...}', 25, 'remove a plugin'),
];
