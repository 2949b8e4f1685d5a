/** `fleetgate issuers`: the issuing CAs, and the rollover from one to the next. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { BulkForecast } from '#common/contract/bulk.ts';
import type { Receipt } from '#common/contract/receipt.ts';
import { Fault } from '#common/fault.ts';
import { receiptLines } from './devices.ts';
import { type NounFlags, verb, withRegistry } from './noun.ts';
import { facts, table } from './output.ts';

interface Issuer {
  id: string;
  name: string;
  state: string;
  subject: string | null;
  notAfter: string | null;
  certificates: number;
  devices: number;
  certificate: string | null;
  csr: string | null;
}

type AddFlags = NounFlags & { name?: string; keyType?: string; keyLabel?: string; file?: boolean };
type RemoveFlags = NounFlags & { dryRun?: boolean; force?: boolean };

const pathOf = (id: string) => `/v1/issuers/${encodeURIComponent(id)}`;

export function issuerCommands(program: Command): void {
  const issuers = program.command('issuers').description('the issuing CAs and their rollover');
  verb(issuers.command('list'), 'issuers list')
    .description('the issuing CAs, and who still depends on each')
    .action((flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const { items } = await api.call<{ items: Issuer[] }>('GET', '/v1/issuers');
        const rows = items.map(({ id, state, subject, notAfter, certificates, devices }) => [
          id,
          state,
          certificates,
          devices,
          notAfter,
          subject,
        ]);
        output.answer(items, () =>
          table(['ISSUER', 'STATE', 'CERTIFICATES', 'DEVICES', 'UNTIL', 'SUBJECT'], rows),
        );
      }),
    );
  verb(issuers.command('show <issuer>'), 'issuers show issuing-2')
    .description('one of them, with its certificate, or the CSR that waits for one')
    .action((id: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const issuer = await api.call<Issuer>('GET', pathOf(id));
        output.answer(issuer, () => factsOf(issuer));
      }),
    );
  verb(issuers.command('add'), 'issuers add --key-type P-384')
    .description('make a further issuing CA: certified by the root when its key is here, else by import')
    .option('--name <name>', 'a word for it')
    .option('--key-type <type>', 'such as P-256 or RSA-3072 (default ca.keyType)')
    .option('--key-label <label>', 'a pair in the token that ca.signer names; no key is made')
    .option('--file', 'a key in the data folder, even where ca.signer names a token')
    .action(({ name, keyType, keyLabel, file, ...flags }: AddFlags) =>
      withRegistry(flags, async (api, output) => {
        const token = keyLabel === undefined ? undefined : { type: 'pkcs11', keyLabel };
        const body = { name, keyType, signer: file ? { type: 'file' } : token };
        const issuer = await api.call<Issuer>('POST', '/v1/issuers', body);
        output.answer(issuer, () => [...factsOf(issuer), '', ...nextOf(issuer)]);
      }),
    );
  verb(issuers.command('import <issuer> <certificate>'), 'issuers import issuing-2 issuing-2.crt')
    .description('install the certificate that the root signed elsewhere')
    .action((id: string, file: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const body = { certificate: pemFile(file) };
        const issuer = await api.call<Issuer>('POST', `${pathOf(id)}/certificate`, body);
        output.answer(issuer, () => [...factsOf(issuer), '', ...nextOf(issuer)]);
      }),
    );
  stateCommands(issuers);
}

function stateCommands(issuers: Command): void {
  const verbs = [
    ['prefer', 'let it sign what is new', 'signs what is new'],
    ['drain', 'let it sign nothing more; what it has signed stays good', 'signs nothing more'],
  ] as const;
  for (const [name, description, done] of verbs) {
    verb(issuers.command(`${name} <issuer>`), `issuers ${name} issuing-2`)
      .description(description)
      .action((id: string, flags: NounFlags) =>
        withRegistry(flags, async (api, output) => {
          const issuer = await api.call<Issuer>('POST', `${pathOf(id)}/${name}`);
          output.answer(issuer, () => [`The issuer ${id} ${done}.`]);
        }),
      );
  }
  verb(issuers.command('remove <issuer>'), 'issuers remove issuing --dry-run')
    .description('trust it no longer; refused while certificates of it are good')
    .option('--dry-run', 'say who would lose access, and change nothing')
    .option('--force', 'even while certificates of it are good: their sessions are ended')
    .action((id: string, { dryRun, force, ...flags }: RemoveFlags) =>
      withRegistry(flags, async (api, output) => {
        const query = new URLSearchParams({
          ...(dryRun && { dryRun: 'true' }),
          ...(force && { force: 'true' }),
        });
        const answer = await api.call<Receipt | BulkForecast>('DELETE', `${pathOf(id)}?${query}`);
        output.answer(answer, () =>
          'dryRun' in answer ? tollLines(id, answer) : receiptLines(`The issuer ${id} is removed`, answer),
        );
      }),
    );
}

const factsOf = ({ id, name, state, subject, notAfter, certificates, devices, csr, certificate }: Issuer) => [
  ...facts([
    ['issuer', name === id ? id : `${id} (${name})`],
    ['state', state],
    ['subject', subject],
    ['until', notAfter],
    ['live certificates', certificates],
    ['devices that used it last', devices],
  ]),
  ...(csr ?? certificate ?? '').trimEnd().split('\n'),
];

const nextOf = ({ id, state }: Issuer): string[] =>
  state === 'pending'
    ? [
        'Have the CSR signed by your root as a CA with path length 0, then run:',
        `  fleetgate issuers import ${id} ${id}.crt`,
      ]
    : [`Let it sign what is new: fleetgate issuers prefer ${id}`];

const tollLines = (id: string, { devices, certificates, sessions, first }: BulkForecast): string[] => [
  `By the removal of ${id}, ${devices} device(s) would lose access; ${certificates} live certificate(s) and ${sessions} live connection(s) are of it. Nothing was changed.`,
  ...first.map((device) => `  ${device}`),
  ...(devices > first.length ? [`  and ${devices - first.length} more`] : []),
];

function pemFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new Fault('not-found', `The file ${path} cannot be read.`, { cause });
  }
}
