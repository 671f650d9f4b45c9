/** `network update`: what can change while containers are on it. */
import { updateNetwork } from '#api/client/networks.ts';
import { defineCommand, ExitError } from '../command.ts';
import { POLICY_FLAGS, policyWords } from '../container/health-options.ts';
import { changes } from '../container/variables.ts';
import { forEachName } from '../each.ts';
import { integer, list } from '../flags/flag-spec.ts';

export const update = defineCommand({
  operands: 'NETWORK [NETWORK...]',
  count: [1, Infinity],
  flags: {
    ...POLICY_FLAGS,
    label: list('Set metadata on a network'),
    opt: list('Set options of its policies', { shorthand: 'o', typeName: 'map' }),
    revision: integer('Refuse the change when the network has another revision'),
    'unset-label': list('Take metadata away'),
    'unset-opt': list('Take options of its policies away'),
  },
  examples: [
    'berth network update --egress-allow api.example.com:443 app',
    'berth network update --publish-policy host-firewall app',
    'berth network update --unset-opt berth.egress --unset-opt berth.egress.allow app',
  ],
  run: async (context, { values, given, positionals }) => {
    if (given.size === 0) throw new ExitError(1, 'you must provide one or more flags when using this command');
    const policy = Object.entries(policyWords(values, given)).map(([key, word]) => `${key}=${word}`);
    const options = changes([...values.opt, ...policy], values['unset-opt']);
    const labels = changes(values.label, values['unset-label']);
    const request = {
      ...(options === undefined ? {} : { Options: options }),
      ...(labels === undefined ? {} : { Labels: labels }),
      ...(given.has('revision') ? { Revision: values.revision } : {}),
    };
    return forEachName(context, positionals, async (name) => {
      await updateNetwork(context.client(), name, request);
    });
  },
});
