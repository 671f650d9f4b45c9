/** The whole route table: every operation of the Docker API that we know of, and Berth's own. */
import type { ServerFacts } from '#api/jobs/metrics.ts';
import type { Engine } from '#engine/engine.ts';
import type { Route } from '../route.ts';
import { buildRoutes } from './build.ts';
import { artifactRoutes } from './artifacts.ts';
import { buildkitRoutes } from './buildkit.ts';
import { containerRoutes } from './containers.ts';
import { containerFileRoutes } from './container-files.ts';
import { diskUsageRoutes } from './disk-usage.ts';
import { execRoutes } from './exec.ts';
import { imageRoutes } from './images.ts';
import { imageTransferRoutes } from './image-transfer.ts';
import { imageUpkeepRoutes } from './image-upkeep.ts';
import { metricsRoutes } from './metrics.ts';
import { logRoutes } from './logs.ts';
import { networkRoutes } from './networks.ts';
import { pluginRoutes, swarmRoutes } from './swarm-plugins.ts';
import { secretRoutes } from './secrets.ts';
import { type BuilderVersion, systemRoutes } from './system.ts';
import { volumeRoutes } from './volumes.ts';

const noFacts: ServerFacts = { requests: new Map(), connections: 0 };

export function allRoutes(
  engine: Pick<Engine, 'list' | 'cancel'>,
  facts: () => ServerFacts = () => noFacts,
  builder: BuilderVersion = '2',
): readonly Route[] {
  return [
    ...systemRoutes(engine, builder),
    ...diskUsageRoutes,
    ...metricsRoutes(facts),
    ...containerRoutes,
    ...logRoutes,
    ...containerFileRoutes,
    ...execRoutes,
    ...imageRoutes,
    ...imageTransferRoutes,
    ...imageUpkeepRoutes,
    ...buildRoutes,
    ...artifactRoutes,
    ...buildkitRoutes,
    ...networkRoutes,
    ...volumeRoutes,
    ...secretRoutes,
    ...swarmRoutes,
    ...pluginRoutes,
  ];
}
