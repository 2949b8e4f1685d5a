/** `fleetgate claims`: one certificate for a production line, which enrolls and does nothing else. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Receipt } from '#common/contract/receipt.ts';
import { makeCsr } from '#common/x509/csr.ts';
import { receiptLines } from './devices.ts';
import { type NounFlags, verb, withRegistry } from './noun.ts';
import { table } from './output.ts';

interface Claim {
  id: string;
  fleet: string;
  uses: number;
  usesLeft: number;
  enrolled: number;
  expiresAt: string;
  revoked: boolean;
}

type MadeClaim = Claim & { certificate: string; chain: string; ca: string };
type Toll = { dryRun: true; devices: number; certificates: number; sessions: number };
type RevokeFlags = NounFlags & { devices?: boolean; dryRun?: boolean; reason?: string };

const pathOf = (fleet: string) => `/v1/fleets/${encodeURIComponent(fleet)}/claims`;

export function claimCommands(program: Command): void {
  const claims = program.command('claims').description('claim certificates of production lines');
  verb(claims.command('create <fleet>'), 'claims create plant --uses 5000 --ttl 30d --out ./line-4')
    .description('make a claim certificate: claim.key, claim.crt and ca.crt into a folder')
    .requiredOption('--uses <n>', 'devices that it may enroll')
    .requiredOption('--ttl <duration>', 'how long it is good')
    .option('--csr <file>', 'a CSR of a key that is kept elsewhere; no key is made then')
    .option('--out <dir>', 'where the files go', '.')
    .action((fleet: string, flags: NounFlags & { uses: string; ttl: string; csr?: string; out: string }) =>
      withRegistry(flags, async (api, output) => {
        mkdirSync(flags.out, { recursive: true });
        const csr = flags.csr ? readFileSync(flags.csr, 'utf8') : await makeKeyAndCsr(flags.out, fleet);
        const body = { csr, uses: Number(flags.uses), ttl: flags.ttl };
        const made = await api.call<MadeClaim>('POST', pathOf(fleet), body);
        writeFileSync(join(flags.out, 'claim.crt'), made.certificate + made.chain);
        writeFileSync(join(flags.out, 'ca.crt'), made.ca);
        output.answer(made, () => [
          `The claim ${made.id} enrolls ${made.uses} devices of ${made.fleet} until ${made.expiresAt}: ${flags.out}/claim.key, claim.crt and ca.crt`,
        ]);
      }),
    );
  verb(claims.command('list <fleet>'), 'claims list plant')
    .description('the claims of a fleet, with what is left of them and what they have enrolled')
    .action((fleet: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const { items } = await api.call<{ items: Claim[] }>('GET', pathOf(fleet));
        const rows = items.map((claim) => [
          claim.id,
          `${claim.usesLeft}/${claim.uses}`,
          claim.enrolled,
          claim.expiresAt,
          claim.revoked ? 'revoked' : '',
        ]);
        output.answer(items, () => table(['CLAIM', 'LEFT', 'ENROLLED', 'EXPIRES', ''], rows));
      }),
    );
  verb(claims.command('revoke <claim>'), 'claims revoke 3kfa8Yb --devices --dry-run')
    .description('end a claim, and with --devices every device that it has enrolled')
    .option('--devices', 'revoke the devices that it has enrolled too')
    .option('--dry-run', 'count what would be ended, and change nothing')
    .option('--reason <reason>', 'word of RFC 5280, such as keyCompromise')
    .action((id: string, { devices, dryRun, reason, ...flags }: RevokeFlags) =>
      withRegistry(flags, async (api, output) => {
        const path = `/v1/claims/${encodeURIComponent(id)}/revoke`;
        const answer = await api.call<Receipt | Toll>('POST', path, { devices, dryRun, reason });
        output.answer(answer, () =>
          'dryRun' in answer
            ? [
                `The claim ${id} would be revoked, and with it ${answer.devices} device(s) with ${answer.certificates} certificate(s) and ${answer.sessions} live connection(s). Nothing was changed.`,
              ]
            : receiptLines(`The claim ${id} is revoked`, answer),
        );
      }),
    );
}

async function makeKeyAndCsr(out: string, fleet: string): Promise<string> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  // The key is on disk before there is a certificate for it.
  writeFileSync(join(out, 'claim.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  return makeCsr(privateKey, `claim of ${fleet}`);
}
