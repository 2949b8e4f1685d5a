/** `fleetgate operators`: who calls the registry with a certificate, and as what. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { makeCsr } from '#common/x509/csr.ts';
import { type NounFlags, verb, withRegistry } from './noun.ts';
import { table } from './output.ts';

interface Operator {
  name: string;
  role: string;
  fingerprint: string;
  notAfter: string;
  revoked: boolean;
}

interface Created extends Operator {
  certificate: string;
  chain: string;
  ca: string;
}

interface CreateFlags extends NounFlags {
  role: string;
  ttl: string;
  out: string;
  replace?: boolean;
}

export function operatorCommands(program: Command): void {
  const operators = program.command('operators').description('operators by client certificate');
  verb(operators.command('create <name>'), 'operators create ada --role operator --out ./ada')
    .description('make a key, and a certificate for it that every verb takes: --cert and --key')
    .requiredOption('--role <role>', 'viewer, enroller, operator, admin, or a role document')
    .option('--ttl <duration>', 'how long it is good', '90d')
    .option('--out <dir>', 'where the files go', '.')
    .option('--replace', 'revoke the certificate that the operator has')
    .action((name: string, flags: CreateFlags) =>
      withRegistry(flags, async (api, output) => {
        const { role, ttl, out, replace = false } = flags;
        const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
        const csr = await makeCsr(privateKey, name);
        const created = await api.call<Created>('POST', '/v1/operators', { name, role, ttl, csr, replace });
        mkdirSync(out, { recursive: true, mode: 0o700 });
        const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
        writeFileSync(join(out, `${name}.key`), pem, { mode: 0o600 });
        writeFileSync(join(out, `${name}.crt`), created.certificate + created.chain);
        writeFileSync(join(out, 'ca.crt'), created.ca);
        const { certificate: _certificate, chain: _chain, ca: _ca, ...told } = created;
        output.answer(told, () => [
          `${name} acts as ${role} until ${created.notAfter}: --cert ${join(out, `${name}.crt`)} --key ${join(out, `${name}.key`)}`,
        ]);
      }),
    );
  verb(operators.command('list'), 'operators list')
    .description('operators, their roles and until when')
    .action((flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const { items } = await api.call<{ items: Operator[] }>('GET', '/v1/operators');
        output.answer(items, () =>
          table(
            ['OPERATOR', 'ROLE', 'UNTIL', 'FINGERPRINT', ''],
            items.map((each) => [
              each.name,
              each.role,
              each.notAfter,
              each.fingerprint,
              each.revoked ? 'revoked' : '',
            ]),
          ),
        );
      }),
    );
  verb(operators.command('revoke <name>'), 'operators revoke ada')
    .description('refuse an operator from the next call on')
    .action((name: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        await api.call('DELETE', `/v1/operators/${encodeURIComponent(name)}`);
        output.answer({ revoked: name }, () => [`The certificate of ${name} opens nothing any more.`]);
      }),
    );
}
