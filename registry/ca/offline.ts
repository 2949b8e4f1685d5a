/**
 * An issuing CA whose root is elsewhere: its key and a request are made here, the request is signed there, and the
 * certificate is imported. Works on the data folder, without a registry that runs.
 */
import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import { certificatePem, pem } from '#common/x509/pem.ts';
import type { CaSettings } from '../settings.ts';
import { makeIssuingName } from './ca-certificates.ts';
import { type CaPaths, caPaths, makeFolder, replaceDurably, writeDurably } from './ca-folder.ts';
import { makeCaRequest } from './certificate-request.ts';
import { acceptIssuing } from './judge-issuing.ts';
import { makeIssuingKey, openIssuingKey } from './open-signer.ts';
import type { Signer } from './signer.ts';

export interface CaRequest {
  /** PKCS #10, PEM. */
  readonly csr: string;
  /** Where it was written. */
  readonly path: string;
}

export interface ImportedCa {
  readonly subject: string;
  readonly issuer: string;
  readonly notAfter: string;
  /** The bundle of both, that others trust. */
  readonly path: string;
}

/** The key (or the one on the token), and the request. Faults `conflict` when there is a CA, `unavailable`. */
export async function initOffline(dataDir: string, settings: CaSettings, clock: Clock): Promise<CaRequest> {
  await makeFolder(dataDir, async (making) => {
    const signer = await makeIssuingKey(dataDir, making, settings, clock);
    try {
      await writeDurably(making.request, await requestOf(signer));
    } finally {
      await signer.close();
    }
  });
  const { request } = caPaths(dataDir);
  return { csr: await readFile(request, 'utf8'), path: request };
}

/** The request that was made, or a new one of the key of a CA that has none, such as for the renewal of its certificate. */
export async function openRequest(dataDir: string, settings: CaSettings, clock: Clock): Promise<CaRequest> {
  const paths = existingPaths(dataDir);
  if (!existsSync(paths.request)) {
    const signer = await openIssuingKey(dataDir, settings, clock);
    try {
      await writeDurably(paths.request, await requestOf(signer));
    } finally {
      await signer.close();
    }
  }
  return { csr: await readFile(paths.request, 'utf8'), path: paths.request };
}

const requestOf = async (signer: Signer): Promise<string> =>
  pem('CERTIFICATE REQUEST', await makeCaRequest(makeIssuingName(), signer));

/**
 * Installs the certificate when nothing speaks against it. `issuing` is PEM, the certificate first; the root is taken
 * from `root` (PEM), else from what follows in `issuing`, else it is the one that is installed. Faults `malformed` with
 * every objection, `conflict` when another root is installed.
 */
export async function importIssuing(
  dataDir: string,
  settings: CaSettings,
  clock: Clock,
  given: { issuing: string; root?: string },
): Promise<ImportedCa> {
  const paths = existingPaths(dataDir);
  const [issuing, ...others] = certificatesOf(given.issuing, 'the file of the issuing certificate');
  const installed = existsSync(paths.root) ? await readFile(paths.root, 'utf8') : undefined;
  const root = rootOf(given.root, others, installed);
  if (installed !== undefined && !new X509Certificate(installed).raw.equals(root.raw)) {
    throw new Fault(
      'conflict',
      `Another root is installed in ${paths.root}; devices and servers trust it. Import a certificate that it signed, or begin a new CA in another --data.`,
    );
  }
  const signer = await openIssuingKey(dataDir, settings, clock);
  await signer.close();
  const { publicKey } = signer;
  acceptIssuing({ issuing: issuing!, root, publicKey, nowMs: clock.now() });
  const [rootPem, issuingPem] = [certificatePem(root.raw), certificatePem(issuing!.raw)];
  await replaceDurably(paths.root, rootPem);
  await replaceDurably(paths.bundle, rootPem + issuingPem);
  // Last: a registry starts when it is there.
  await replaceDurably(paths.issuing, issuingPem);
  const oneLine = (name: string) => name.replaceAll('\n', ', ');
  return {
    subject: oneLine(issuing!.subject),
    issuer: oneLine(issuing!.issuer),
    notAfter: issuing!.validTo,
    path: paths.bundle,
  };
}

function existingPaths(dataDir: string): CaPaths {
  const paths = caPaths(dataDir);
  if (existsSync(paths.dir)) return paths;
  throw new Fault(
    'not-found',
    `There is no CA in ${paths.dir}. Make its key first: fleetgate ca init --offline --data ${dataDir}`,
  );
}

function rootOf(
  given: string | undefined,
  beside: readonly X509Certificate[],
  installed: string | undefined,
): X509Certificate {
  const selfSigned = (certificates: readonly X509Certificate[]) =>
    certificates.find((each) => each.checkIssued(each));
  if (given !== undefined) {
    const certificates = certificatesOf(given, 'the file of the root');
    return selfSigned(certificates) ?? certificates[0]!;
  }
  const root = selfSigned(beside) ?? (installed === undefined ? undefined : new X509Certificate(installed));
  if (root) return root;
  throw new Fault(
    'malformed',
    'The root is needed too, since devices trust it: name it with --root root.crt.',
  );
}

const block = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;
/** A file of certificates holds a chain, not a list of the world's anchors. */
const mostCertificates = 10;

/** The certificates of a PEM file, whatever text stands between them, as openssl writes it. Faults `malformed`. */
export function certificatesOf(text: string, what: string): X509Certificate[] {
  const blocks = text.match(block) ?? [];
  if (blocks.length === 0 || blocks.length > mostCertificates)
    throw new Fault('malformed', `In ${what} there are ${blocks.length} PEM certificates; one is expected.`);
  try {
    return blocks.map((each) => new X509Certificate(each));
  } catch (cause) {
    throw new Fault('malformed', `A certificate in ${what} cannot be read.`, { cause });
  }
}
