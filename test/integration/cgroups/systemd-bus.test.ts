/**
 * Our D-Bus messages before a real dbus-daemon, which drops a client at the first malformed byte. There is no systemd
 * on this bus: a well-formed call comes back as ServiceUnknown, by name.
 */
import { describe, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { messageOf } from '#errdefs/errors.ts';
import { adoptIntoScope } from '#libcontainer/cgroups/systemd.ts';

const DAEMON = '/usr/bin/dbus-daemon';

const failureOf = (asked: Promise<void>): Promise<string> => asked.then(() => 'it worked', messageOf);

describe.if(existsSync(DAEMON))('system bus', () => {
  test('a call for a scope is understood', async () => {
    const dir = mkdtempSync(`${tmpdir()}/berth-bus-`);
    const bus = `${dir}/socket`;
    writeFileSync(
      `${dir}/bus.conf`,
      `<busconfig><type>system</type><listen>unix:path=${bus}</listen><auth>EXTERNAL</auth><policy context="default">
       <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`,
    );
    const daemon = Bun.spawn([DAEMON, `--config-file=${dir}/bus.conf`, '--nofork'], { stderr: 'pipe' });
    try {
      for (let i = 0; i < 500 && !existsSync(bus); i++) await Bun.sleep(5);
      const scope = {
        scope: 'berth-00ff00.scope',
        slice: 'berth.slice',
        pids: [process.pid],
        before: 'berth.service',
        bus,
      };
      const answer = await failureOf(adoptIntoScope(scope));
      expect(answer).toContain('Cannot make systemd unit "berth-00ff00.scope": org.freedesktop.DBus.Error');
      expect(answer).toContain('org.freedesktop.systemd1');
    } finally {
      daemon.kill('SIGKILL');
      await daemon.exited;
      rmSync(dir, { recursive: true });
    }
  });

  test('no bus is told', async () => {
    const scope = {
      scope: 'x.scope',
      slice: 'berth.slice',
      pids: [process.pid],
      before: 'berth.service',
      bus: '/nowhere',
    };
    expect(await failureOf(adoptIntoScope(scope))).toContain('Cannot reach systemd on "/nowhere"');
  });
});
