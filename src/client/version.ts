/** The version of this program; package.json is its only source. */
import manifest from '../../package.json' with { type: 'json' };

export const VERSION = manifest.version;
