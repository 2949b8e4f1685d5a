/** `fleetgate anchors`: trust anchors of manufacturers, registered with a proof of their key, shown, removed. */
import { createPrivateKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { Fault } from '#common/fault.ts';
import { readRule, type WrittenRule, writeRule } from './mapping-rule.ts';
import { asked, type NounFlags, verb, withRegistry } from './noun.ts';
import { facts, table } from './output.ts';
import type { RegistryApi } from './registry-api.ts';

interface Anchor {
  name: string;
  state: string;
  fleet: string;
  enrollment: string;
  subject: string;
  keyId: string | null;
  fingerprint: string;
  notAfter: string;
  mapping: WrittenRule[];
  revocation: { policy: string; crl: string[]; ocsp: string | null; maxStale: string };
  statusUntil: string | null;
  sources: { source: string; number: string | null; nextUpdate: string | null; problem: string | null }[];
}

interface AddFlags extends NounFlags {
  certificate: string;
  fleet: string;
  mode: string;
  map: string[];
  templateRole?: string;
  templateState?: string;
  attribute: string[];
  intermediates?: string;
  policy?: string;
  crl: string[];
  ocsp?: string;
  maxStale?: string;
  caKey?: string;
  caKeyPassphraseFile?: string;
  proof?: string;
  signature?: string;
  waivePossession?: boolean;
}

type Proof = { certificate: string } | { signature: string };

const gather = (value: string, before: string[]) => [...before, value];

export function anchorCommands(program: Command): void {
  const anchors = program
    .command('anchors')
    .description('trust anchors of manufacturers: device CAs that are not ours');
  verb(
    anchors.command('add <name>'),
    "anchors add acme --certificate acme.crt --fleet plant --mode jit --map 'uri=urn:dev:{id}' --ca-key acme.key",
  )
    .description('trust a CA on terms; without a proof of its key, says what to sign')
    .requiredOption('--certificate <file>', 'the CA, PEM')
    .requiredOption('--fleet <fleet>', 'fleet of its devices')
    .requiredOption('--mode <mode>', 'registered, jit or enroll-only')
    .requiredOption(
      '--map <rule>',
      'from[:oid][/hex][#index][=pattern]; the first that fits wins',
      gather,
      [],
    )
    .option('--template-role <role>', 'role of devices that come in just in time')
    .option('--template-state <state>', 'active, or pending for an operator to let in')
    .option('--attribute <name=value>', 'attribute of devices that come in just in time', gather, [])
    .option('--intermediates <file>', 'CAs below it, PEM, for their CRLs and OCSP answers')
    .option('--policy <policy>', 'revocation: none, soft, last-good or hard')
    .option('--crl <source>', 'file or URL of a CRL', gather, [])
    .option('--ocsp <responder>', 'aia, or a URL')
    .option('--max-stale <duration>', 'how long last-good holds beyond nextUpdate')
    .option('--ca-key <file>', 'key of the CA, PEM: proves possession by itself')
    .option('--ca-key-passphrase-file <file>', 'passphrase of that key')
    .option('--proof <file>', 'a certificate signed by the CA whose CN is the nonce, PEM')
    .option('--signature <file>', 'a signature of the CA over the nonce, binary')
    .option('--waive-possession', 'trust it without a proof; administrators only')
    .action((name: string, flags: AddFlags) =>
      withRegistry(flags, async (api, output) => {
        const order = asked(() => orderOf(name, flags));
        const possession = await proofOf(api, name, flags);
        if ('nonce' in possession)
          return output.answer(possession, () => whatToSign(name, possession.nonce, possession.expiresAt));
        const anchor = await api.call<Anchor>('POST', '/v1/anchors', { ...order, ...possession });
        output.answer(anchor, () => [
          `Devices of ${anchor.subject} are trusted in the fleet ${anchor.fleet} (${anchor.enrollment}).`,
          ...anchor.sources.flatMap(({ problem }) => (problem ? [`Look here: ${problem}.`] : [])),
        ]);
      }),
    );
  verb(anchors.command('list'), 'anchors list')
    .description('all anchors, the removed ones too')
    .action((flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const { items } = await api.call<{ items: Anchor[] }>('GET', '/v1/anchors');
        const rows = items.map((each) => [
          each.name,
          each.state,
          each.fleet,
          each.enrollment,
          each.subject,
          each.statusUntil,
        ]);
        output.answer(items, () =>
          table(['ANCHOR', 'STATE', 'FLEET', 'MODE', 'SUBJECT', 'STATUS UNTIL'], rows),
        );
      }),
    );
  verb(anchors.command('show <name>'), 'anchors show acme')
    .description('one anchor with its terms')
    .action((name: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const anchor = await api.call<Anchor>('GET', pathOf(name));
        output.answer(anchor, () => linesOf(anchor));
      }),
    );
  verb(anchors.command('remove <name>'), 'anchors remove acme --dry-run')
    .description('trust it no longer: live sessions of its certificates end')
    .option('--dry-run', 'only say which devices would lose access')
    .action((name: string, flags: NounFlags & { dryRun?: boolean }) =>
      withRegistry(flags, async (api, output) => {
        const query = flags.dryRun ? '?dryRun=true' : '';
        const removal = await api.call<{
          devices: number;
          first: string[];
          receipt: { sessions: unknown[] } | null;
        }>('DELETE', `${pathOf(name)}${query}`);
        const { devices, first, receipt } = removal;
        const shown = first.length < devices ? [...first, `and ${devices - first.length} more`] : first;
        output.answer(removal, () => [
          receipt
            ? `The anchor ${name} is trusted no longer; ${receipt.sessions.length} connection(s) ended.`
            : `Nothing was changed. Without ${name}, ${devices} device(s) would lose access:`,
          ...(receipt ? [] : shown),
        ]);
      }),
    );
}

const pathOf = (name: string): string => `/v1/anchors/${encodeURIComponent(name)}`;

/** What people and tools write around certificates is left out: only the blocks are sent. */
const pemOf = (file: string): string =>
  `${(readFileSync(file, 'utf8').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).join('\n')}\n`;

function orderOf(name: string, flags: AddFlags) {
  const { policy = 'none', crl, ocsp, maxStale, templateRole, templateState, attribute } = flags;
  const attributes = Object.fromEntries(
    attribute.map((each) => {
      const equals = each.indexOf('=');
      if (equals < 1) throw new Fault('malformed', `"${each}" is no attribute; write name=value.`);
      return [each.slice(0, equals), each.slice(equals + 1)];
    }),
  );
  return {
    name,
    certificate: pemOf(flags.certificate),
    fleet: flags.fleet,
    enrollment: flags.mode,
    mapping: flags.map.map(readRule),
    template: {
      ...(templateRole && { role: templateRole }),
      ...(templateState && { state: templateState }),
      attributes,
    },
    revocation: { policy, crl, ...(ocsp && { ocsp }), ...(maxStale && { maxStale }) },
    ...(flags.intermediates && { intermediates: pemOf(flags.intermediates) }),
  };
}

/** The proof, made here when the key is at hand; else the challenge, when there is none yet. */
async function proofOf(
  api: RegistryApi,
  name: string,
  flags: AddFlags,
): Promise<{ proof: Proof } | { possession: 'waived' } | { nonce: string; expiresAt: string }> {
  if (flags.waivePossession) return { possession: 'waived' };
  if (flags.proof) return { proof: { certificate: pemOf(flags.proof) } };
  if (flags.signature) return { proof: { signature: readFileSync(flags.signature).toString('base64') } };
  const key = flags.caKey && asked(() => privateKey(flags));
  const challenge = await api.call<{ nonce: string; expiresAt: string }>('POST', '/v1/anchors/challenge', {
    name,
  });
  if (!key) return challenge;
  const digest = key.asymmetricKeyType === 'ec' || key.asymmetricKeyType === 'rsa' ? 'sha256' : null;
  return { proof: { signature: sign(digest, Buffer.from(challenge.nonce), key).toString('base64') } };
}

function privateKey({ caKey = '', caKeyPassphraseFile }: AddFlags) {
  const passphrase = caKeyPassphraseFile && readFileSync(caKeyPassphraseFile, 'utf8').trimEnd();
  try {
    return createPrivateKey({ key: readFileSync(caKey), ...(passphrase && { passphrase }) });
  } catch (cause) {
    throw new Fault('malformed', `The key in ${caKey} cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
}

const whatToSign = (name: string, nonce: string, expiresAt: string): string[] => [
  `Show that you hold the key of the CA, by ${expiresAt}. Either sign the nonce:`,
  `  printf %s ${nonce} | openssl dgst -sha256 -sign ca.key > ${name}.sig`,
  '  (Ed25519 and ML-DSA: openssl pkeyutl -sign -rawin -inkey ca.key -in <file with the nonce>)',
  `and repeat the command with --signature ${name}.sig; or issue a certificate with the CN`,
  `  ${nonce}`,
  'and repeat it with --proof FILE.',
];

const linesOf = (anchor: Anchor): string[] =>
  facts([
    ['anchor', anchor.name],
    ['state', anchor.state],
    ['fleet', anchor.fleet],
    ['mode', anchor.enrollment],
    ['subject', anchor.subject],
    ['key id', anchor.keyId],
    ['fingerprint', anchor.fingerprint],
    ['until', anchor.notAfter],
    ['mapping', anchor.mapping.map(writeRule).join(', ')],
    ['revocation', anchor.revocation.policy],
    ['status until', anchor.statusUntil],
    ...anchor.sources.map(
      ({ source, number, nextUpdate, problem }) =>
        ['crl', `${source}: ${problem ?? `number ${number}, next by ${nextUpdate}`}`] as const,
    ),
    ...(anchor.revocation.ocsp ? [['ocsp', anchor.revocation.ocsp] as const] : []),
  ]);
