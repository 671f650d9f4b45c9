/** `network resolve`: names of containers for the host, by systemd-resolved or by hand. */
import { hostNames, setHostNames } from '#api/client/networks.ts';
import { defineCommand, UsageError } from '../command.ts';
import { flag } from '../flags/flag-spec.ts';

export const resolve = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {
    install: flag('Serve the names, and let systemd-resolved ask for them'),
    manual: flag('With --install: serve the names, and leave the resolver of the host as it is'),
    remove: flag('Serve no names any more, and take back what --install did'),
  },
  examples: ['berth network resolve --install', 'curl http://web.app.berth.internal', 'berth network resolve --remove'],
  async run(context, { values }) {
    if (values.install && values.remove) throw new UsageError('--install and --remove conflict');
    if (values.manual && !values.install) throw new UsageError('--manual goes with --install');
    const client = context.client();
    const { Enabled, Resolver, Domain, Address, Warnings } =
      values.install || values.remove
        ? await setHostNames(client, { Enabled: values.install, Manual: values.manual })
        : await hostNames(client);
    for (const warning of Warnings ?? []) context.io.err(`WARNING: ${warning}\n`);
    if (!Enabled) context.io.out('Names of containers are not served to this host\n');
    else {
      const who = Resolver ? 'systemd-resolved asks there' : 'your resolver has to ask there';
      context.io.out(`NAME.NETWORK.${Domain} is answered at ${Address}, port 53; ${who}\n`);
    }
  },
});
