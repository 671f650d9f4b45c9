/** X-Registry-Config: what a client is logged in to, by the names that it has for registries. */
import type { RegistryAuth } from '#api/types/build.ts';
import type { LoginSource } from '#builder/request.ts';

/** `docker login` keeps the hub under its oldest address. */
const HUB_NAMES = ['https://index.docker.io/v1/', 'index.docker.io', 'registry-1.docker.io', 'docker.io'];

export function givenLogins(auths: Readonly<Record<string, RegistryAuth>>): LoginSource {
  return {
    login: async (registry) => {
      const names = registry === 'docker.io' ? HUB_NAMES : [registry, `https://${registry}`, `http://${registry}`];
      const name = names.find((candidate) => Object.hasOwn(auths, candidate));
      return name === undefined ? '' : encodeLogin({ ...auths[name] });
    },
  };
}

/** As in X-Registry-Auth. */
export function encodeLogin(auth: RegistryAuth): string {
  return Buffer.from(JSON.stringify(auth)).toString('base64url');
}
