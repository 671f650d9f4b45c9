/** The words of `docker ps` for a state: `Up 3 minutes`, `Exited (0) 2 seconds ago`. Clients match them. */
import type { HealthStatus } from './health.ts';
import type { ContainerState } from './state.ts';
import { humanDuration } from '#pkg/units/duration.ts';

export function statusText(state: ContainerState, now: Date, health?: HealthStatus): string {
  switch (state.status) {
    case 'running':
      return `Up ${since(state.startedAt, now)}${healthText(health)}`;
    case 'paused':
      return `Up ${since(state.startedAt, now)} (Paused)`;
    case 'restarting':
      return `Restarting (${state.exitCode}) ${since(state.finishedAt, now)} ago`;
    case 'removing':
      return 'Removal In Progress';
    case 'dead':
      return 'Dead';
    case 'created':
      return 'Created';
    case 'exited':
      break;
  }
  return `Exited (${state.exitCode}) ${since(state.finishedAt, now)} ago`;
}

function healthText(health: HealthStatus | undefined): string {
  if (health === undefined) return '';
  return health === 'starting' ? ' (health: starting)' : ` (${health})`;
}

function since(time: string, now: Date): string {
  return humanDuration(now.getTime() - Date.parse(time));
}
