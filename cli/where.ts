/** Where the server is and how to speak to it: what `up` left in its data folder, unless flags say otherwise. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '#common/fault.ts';
import { defaultDataDir } from './config.ts';

/** The ready line of a server, kept in its data folder. */
export interface Whereabouts {
  mqtts?: string;
  https?: string;
  registry?: string;
  pki?: string;
  ops?: string;
  /** Path of the CA bundle. */
  ca?: string;
  adminTokenFile?: string;
  /** Folder of the default file backend, if there is one. */
  events?: string;
}

export interface WhereFlags {
  data?: string;
  registry?: string;
  mqtts?: string;
  https?: string;
  tokenFile?: string;
  ca?: string;
  /** PEM of an operator's certificate and its key: instead of a token. */
  cert?: string;
  key?: string;
}

const file = (data: string) => join(data, 'fleetgate.json');

export function writeWhereabouts(data: string, where: Whereabouts): void {
  writeFileSync(file(data), JSON.stringify(where, null, 2), { mode: 0o600 });
}

/** What is known without asking anybody. */
export function whereabouts(flags: WhereFlags): Whereabouts {
  const path = file(flags.data ?? defaultDataDir());
  const known = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Whereabouts) : {};
  return {
    ...known,
    ...(flags.registry && { registry: flags.registry }),
    ...(flags.mqtts && { mqtts: flags.mqtts }),
    ...(flags.https && { https: flags.https }),
    ...(flags.tokenFile && { adminTokenFile: flags.tokenFile }),
    ...(flags.ca && { ca: flags.ca }),
  };
}

export interface RegistryAccess {
  url: string;
  ca: string;
  /** Null for one that calls by certificate. */
  token: string | null;
  identity?: { readonly cert: string; readonly key: string };
}

/** Faults `not-found` with what to do when there is no server to be found. */
export function registryAccess(flags: WhereFlags): RegistryAccess {
  const { registry, ca, adminTokenFile } = whereabouts(flags);
  const { cert, key } = flags;
  if ((cert === undefined) !== (key === undefined))
    throw new Fault('malformed', '--cert and --key go together: the certificate of an operator and its key.');
  if (!registry || !ca || (!adminTokenFile && !cert)) {
    throw new Fault(
      'not-found',
      'No Fleetgate is known here. Start one with "fleetgate up", or name one: --registry URL --ca FILE, and --token-file FILE or --cert FILE --key FILE (or --data DIR).',
    );
  }
  const where = { url: registry, ca: readFileSync(ca, 'utf8') };
  if (cert && key) {
    const identity = { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
    return { ...where, token: null, identity };
  }
  return { ...where, token: readFileSync(adminTokenFile!, 'utf8').trim() };
}
