/** `fleetgate ca`: its certificates, and the making of one whose root is elsewhere. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { systemClock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import { readConfiguration } from './config.ts';
import { type NounFlags, verb } from './noun.ts';
import { facts, openOutput, table } from './output.ts';
import { whereabouts } from './where.ts';

export function caCommands(program: Command): void {
  const ca = program.command('ca').description('the certificate authority');
  verb(ca.command('show'), 'ca show')
    .description('the certificates of the CA')
    .action((flags: NounFlags) => {
      const certificates = caCertificates(flags);
      const rows = certificates.map((each) => [
        each.subject.replaceAll('\n', ', '),
        each.validTo,
        each.fingerprint256,
      ]);
      openOutput(flags.json === true).answer(
        certificates.map(({ subject, validFrom, validTo, fingerprint256 }) => ({
          subject,
          validFrom,
          validTo,
          fingerprint256,
        })),
        () => table(['SUBJECT', 'UNTIL', 'FINGERPRINT'], rows),
      );
    });
  verb(ca.command('export'), 'ca export > ca.crt')
    .description('the CA bundle as PEM')
    .action((flags: NounFlags) => {
      const bundle = readFileSync(caFile(flags), 'utf8');
      openOutput(flags.json === true).answer({ ca: bundle }, () => [bundle.trimEnd()]);
    });

  keyCommands(ca);
}

interface FolderFlags {
  data?: string;
  config?: string;
  json?: boolean;
}

/** Loaded when asked for: they work on the data folder, without a server. */
const offline = () => import('../registry/ca/offline.ts');

/** Adds the flags of verbs that work on the data folder of a server that does not run. */
const onFolder = (command: Command, example: string): Command =>
  command
    .option('--data <dir>', 'data folder (default ./data)')
    .option('--config <file>', 'configuration (default fleetgate.yaml when it is there)')
    .option('--json', 'one JSON document')
    .addHelpText('after', `\nExample:\n  fleetgate ${example}`);

function keyCommands(ca: Command): void {
  onFolder(ca.command('init'), 'ca init --offline --data ./data')
    .description('make the issuing key and a CSR for a root elsewhere')
    .requiredOption('--offline', 'the root stays elsewhere; without it, "fleetgate up" makes a CA by itself')
    .action(async (flags: FolderFlags) => {
      const { dataDir, settings } = folderOf(flags);
      const made = await (await offline()).initOffline(dataDir, settings, systemClock);
      openOutput(flags.json === true).answer(made, () => [
        ...facts([['CSR', made.path]]),
        'Have it signed by your root as a CA with path length 0, then run:',
        `  fleetgate ca import issuing.crt --root root.crt --data ${dataDir}`,
      ]);
    });
  onFolder(ca.command('csr'), 'ca csr > issuing.csr')
    .description('the CSR of the issuing key, as PEM')
    .action(async (flags: FolderFlags) => {
      const { dataDir, settings } = folderOf(flags);
      const request = await (await offline()).openRequest(dataDir, settings, systemClock);
      openOutput(flags.json === true).answer(request, () => [request.csr.trimEnd()]);
    });
  onFolder(ca.command('import <certificate>'), 'ca import issuing.crt --root root.crt')
    .description('install the certificate that the root signed')
    .option('--root <file>', 'certificate of the root, when it does not follow in the same file')
    .action(async (certificate: string, flags: FolderFlags & { root?: string }) => {
      const { dataDir, settings } = folderOf(flags);
      const given = { issuing: pemFile(certificate), root: flags.root && pemFile(flags.root) };
      const imported = await (await offline()).importIssuing(dataDir, settings, systemClock, given);
      openOutput(flags.json === true).answer(imported, () =>
        facts([
          ['issuing CA', imported.subject],
          ['signed by', imported.issuer],
          ['until', imported.notAfter],
          ['CA bundle', imported.path],
          ['next', 'start the registry, or restart the one that runs'],
        ]),
      );
    });
}

function folderOf(flags: FolderFlags) {
  const configuration = readConfiguration(flags.config, { data: flags.data });
  return { dataDir: resolve(configuration.data), settings: configuration.ca };
}

function pemFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new Fault('not-found', `The file ${path} cannot be read.`, { cause });
  }
}

function caFile(flags: NounFlags): string {
  const { ca } = whereabouts(flags);
  if (!ca)
    throw new Fault(
      'not-found',
      'No CA bundle is known here; name one with --ca FILE, or the data folder with --data DIR.',
    );
  return ca;
}

/** Of the bundle that a server on this machine left, or that a flag names. */
export const caCertificates = (flags: NounFlags): X509Certificate[] =>
  readFileSync(caFile(flags), 'utf8')
    .split(/(?<=-----END CERTIFICATE-----\n)/)
    .filter((pem) => pem.trim() !== '')
    .map((pem) => new X509Certificate(pem));
