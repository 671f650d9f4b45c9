/** registries.conf of the configuration, read again when it has changed. */
import { TOML } from 'bun';
import * as fs from 'node:fs';
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import { decodeRegistriesConf, NO_REGISTRIES_CONF, type RegistriesConf } from '#reference/registries-conf.ts';

const BYTES_MAX = 1 << 20;

/** Errors of the function it answers: invalid-parameter when the file cannot be read. */
export function registriesReader(fileOf: () => string): () => RegistriesConf {
  let read: { readonly file: string; readonly stamp: string; readonly conf: RegistriesConf } | undefined;
  return () => {
    const file = fileOf();
    if (file === '') return NO_REGISTRIES_CONF;
    try {
      const { size, mtimeMs, ino } = fs.statSync(file);
      const stamp = `${ino} ${size} ${mtimeMs}`;
      if (read?.file === file && read.stamp === stamp) return read.conf;
      if (size > BYTES_MAX) throw invalidParameter('it is too long');
      const conf = decodeRegistriesConf(TOML.parse(fs.readFileSync(file, 'utf8')));
      read = { file, stamp, conf };
      return conf;
    } catch (cause) {
      throw invalidParameter(`Cannot read ${JSON.stringify(file)}: ${messageOf(cause)}`, { cause });
    }
  };
}
