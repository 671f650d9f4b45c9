/** What network plugins answer, read with distrust. Pure. */
import { isIP } from 'node:net';
import { systemError } from '#errdefs/errors.ts';
import type { Given } from '../addresses.ts';

export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

export const fieldOf = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;

/** 'ADDRESS/LENGTH'; undefined for what is none. Errors: system for text that is no such thing. */
export function givenOf(value: unknown): Given | undefined {
  const text = textOf(value);
  if (text === '') return undefined;
  const [ip = '', length = '', more] = text.split('/');
  const most = ip.includes(':') ? 128 : 32;
  if (isIP(ip) === 0 || !/^\d{1,3}$/.test(length) || Number(length) > most || more !== undefined) {
    throw systemError(`the network plugin gave no address: ${JSON.stringify(text.slice(0, 100))}`);
  }
  return { ip, prefixLength: Number(length) };
}

export interface Joined {
  /** Name of the link that the plugin has made on the host; '' for none. */
  readonly link: string;
  readonly gateways: { readonly four: string; readonly six: string };
  readonly routes: readonly {
    readonly destination: { readonly ip: string; readonly prefixLength: number };
    /** '' for what lies on the link itself. */
    readonly gateway: string;
  }[];
}

const LINK = /^[^\s/:]{1,15}$/;

/** Errors: system. */
export function decodeJoin(answer: unknown): Joined {
  const link = textOf(fieldOf(fieldOf(answer, 'InterfaceName'), 'SrcName'));
  if (link !== '' && !LINK.test(link)) throw systemError(`the network plugin gave no name of a link: "${link}"`);
  const routes = fieldOf(answer, 'StaticRoutes');
  return {
    link,
    gateways: { four: textOf(fieldOf(answer, 'Gateway')), six: textOf(fieldOf(answer, 'GatewayIPv6')) },
    routes: (Array.isArray(routes) ? routes : []).map((route: unknown) => {
      const destination = givenOf(fieldOf(route, 'Destination'));
      const gateway = textOf(fieldOf(route, 'NextHop'));
      if (destination === undefined || (gateway !== '' && isIP(gateway) === 0)) {
        throw systemError(`the network plugin gave no route: ${JSON.stringify(route).slice(0, 200)}`);
      }
      return { destination, gateway };
    }),
  };
}
