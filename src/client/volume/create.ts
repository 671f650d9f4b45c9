/** `volume create`. */
import { createVolume } from '#api/client/volumes.ts';
import { defineCommand } from '../command.ts';
import { toRecord } from '../container/variables.ts';
import { list, text } from '../flags/flag-spec.ts';

const clusterFlag = () => text('Cluster volumes only', { hidden: true });

const CLUSTER_FLAGS = {
  availability: clusterFlag(),
  group: clusterFlag(),
  'limit-bytes': clusterFlag(),
  'required-bytes': clusterFlag(),
  scope: clusterFlag(),
  secret: clusterFlag(),
  sharing: clusterFlag(),
  'topology-preferred': clusterFlag(),
  'topology-required': clusterFlag(),
  type: clusterFlag(),
};

export const create = defineCommand({
  operands: '[VOLUME]',
  count: [0, 1],
  flags: {
    ...CLUSTER_FLAGS,
    driver: text('Specify volume driver name', { shorthand: 'd', initial: 'local' }),
    label: list('Set metadata for a volume'),
    name: text('Specify volume name', { hidden: true }),
    opt: list('Set driver specific options', { shorthand: 'o', typeName: 'map' }),
  },
  examples: [
    'berth volume create --opt type=tmpfs --opt device=tmpfs --opt o=size=100m,uid=1000 scratch',
    'berth volume create --opt size=1g limited',
  ],
  async run(context, { values, given, positionals: [name] }) {
    for (const flag of Object.keys(CLUSTER_FLAGS)) {
      // as: only widened, for `has`.
      if ((given as ReadonlySet<string>).has(flag)) throw new Error(`--${flag}: cluster volumes need a swarm manager`);
    }
    if (name !== undefined && values.name !== '') {
      throw new Error('conflicting options: cannot specify a volume-name through both --name and as a positional arg');
    }
    const volume = await createVolume(context.client(), {
      Name: name ?? values.name,
      Driver: values.driver,
      DriverOpts: toRecord(values.opt),
      Labels: toRecord(values.label),
    });
    context.io.out(`${volume.Name}\n`);
  },
});
