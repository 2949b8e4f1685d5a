/** A manufacturer's PKI, made with openssl in a folder: a root, intermediates, device certificates, CRLs, a responder. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DeviceIdentity } from './api-client.ts';

const run = (program: string, args: string[], cwd: string): string =>
  execFileSync(program, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 20_000 });

const keyArgs = {
  'P-256': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  'RSA-2048': ['-newkey', 'rsa:2048'],
  Ed25519: ['-newkey', 'ed25519'],
} as const;
export type TestKey = keyof typeof keyArgs;

const caExtensions = [
  'basicConstraints=critical,CA:TRUE',
  'keyUsage=critical,keyCertSign,cRLSign',
  'subjectKeyIdentifier=hash',
  'authorityKeyIdentifier=keyid',
];
export const leafExtensions = [
  'basicConstraints=critical,CA:FALSE',
  'keyUsage=critical,digitalSignature',
  'extendedKeyUsage=clientAuth',
  'subjectKeyIdentifier=hash',
  'authorityKeyIdentifier=keyid',
];

export interface LeafOptions {
  /** Beside, or with the same name instead of, `leafExtensions`. */
  extensions?: string[];
  /** Lines of the OpenSSL configuration that extensions refer to. */
  sections?: string;
  subject?: string;
  key?: TestKey;
  /** `YYMMDDHHMMSSZ`. */
  notBefore?: string;
  notAfter?: string;
  serial?: string;
  /** The key of an earlier leaf. */
  keyOf?: string;
}

export class ForeignCa {
  readonly dir: string;
  readonly name: string;
  /** PEM. */
  readonly certificate: string;
  /** PEM of this CA and those above it, without the root: what a device sends behind its leaf. */
  readonly chain: string;

  private constructor(dir: string, name: string, chain: string) {
    this.dir = dir;
    this.name = name;
    this.certificate = readFileSync(join(dir, `${name}.crt`), 'utf8');
    this.chain = chain;
    for (const [file, text] of [
      ['index.txt', ''],
      ['index.txt.attr', 'unique_subject = no\n'],
      ['crlnumber', '01\n'],
    ] as const)
      writeFileSync(join(dir, `${name}.${file}`), text);
    writeFileSync(join(dir, `${name}.cnf`), configurationOf(name));
  }

  /** A root; the subject is `/CN=<name>` unless it is given. */
  static root(
    dir: string,
    name: string,
    subject = `/CN=${name}`,
    key: TestKey = 'P-256',
    extra: string[] = [],
  ): ForeignCa {
    const extensions = merge(caExtensions, extra).flatMap((each) => ['-addext', each]);
    writeFileSync(join(dir, 'empty.cnf'), '[req]\ndistinguished_name=d\n[d]\n');
    const files = ['-keyout', `${name}.key`, '-out', `${name}.crt`];
    run(
      'openssl',
      [
        'req',
        '-x509',
        '-config',
        'empty.cnf',
        ...keyArgs[key],
        '-nodes',
        ...files,
        '-subj',
        subject,
        '-days',
        '30',
        ...extensions,
      ],
      dir,
    );
    return new ForeignCa(dir, name, '');
  }

  /** A CA below this one. */
  intermediate(name: string, extra: string[] = []): ForeignCa {
    this.#sign(name, { extensions: extra, subject: `/CN=${name}` }, caExtensions);
    return new ForeignCa(this.dir, name, readFileSync(join(this.dir, `${name}.crt`), 'utf8') + this.chain);
  }

  /** A device, with the chain that it sends; `ca` is what it checks the gateway with. */
  leaf(name: string, ca: string, options: LeafOptions = {}): DeviceIdentity {
    this.#sign(name, options, leafExtensions);
    const certificate = readFileSync(join(this.dir, `${name}.crt`), 'utf8') + this.chain;
    const key = readFileSync(join(this.dir, `${options.keyOf ?? name}.key`), 'utf8');
    const print = run(
      'openssl',
      ['x509', '-in', `${name}.crt`, '-noout', '-fingerprint', '-sha256'],
      this.dir,
    );
    const fingerprint = print.split('=')[1]!.trim().replaceAll(':', '').toLowerCase();
    return { id: name, fleet: '', key, certificate, ca, fingerprint, privateKey: undefined as never };
  }

  #sign(name: string, options: LeafOptions, defaults: string[]): void {
    const { subject = `/CN=${name}`, key = 'P-256', sections = '', keyOf = name } = options;
    const isMade = existsSync(join(this.dir, `${keyOf}.key`));
    const keyed = isMade
      ? ['-new', '-key', `${keyOf}.key`]
      : [...keyArgs[key], '-nodes', '-keyout', `${keyOf}.key`];
    run(
      'openssl',
      ['req', '-config', 'empty.cnf', ...keyed, '-out', `${name}.csr`, '-subj', subject],
      this.dir,
    );
    writeFileSync(
      join(this.dir, `${name}.ext`),
      `${merge(defaults, options.extensions ?? []).join('\n')}\n${sections}`,
    );
    const serial = options.serial ?? `4a${randomBytes(10).toString('hex')}`;
    writeFileSync(join(this.dir, `${this.name}.serial`), `${serial.toUpperCase()}\n`);
    const times = [
      ...(options.notBefore ? ['-startdate', options.notBefore] : []),
      ...(options.notAfter ? ['-enddate', options.notAfter] : ['-days', '20']),
    ];
    run(
      'openssl',
      [
        'ca',
        '-batch',
        '-notext',
        '-config',
        `${this.name}.cnf`,
        '-in',
        `${name}.csr`,
        '-out',
        `${name}.crt`,
        '-extfile',
        `${name}.ext`,
        ...times,
      ],
      this.dir,
    );
  }

  /** Takes a certificate back; `certificateHold` and other reasons as openssl writes them. */
  revoke(name: string, reason = 'keyCompromise'): void {
    run(
      'openssl',
      ['ca', '-config', `${this.name}.cnf`, '-revoke', `${name}.crt`, '-crl_reason', reason],
      this.dir,
    );
  }

  /** Forgets that it was revoked, as a CA does that lifts a hold. */
  release(name: string): void {
    const serial = run('openssl', ['x509', '-in', `${name}.crt`, '-noout', '-serial'], this.dir)
      .split('=')[1]!
      .trim();
    const file = join(this.dir, `${this.name}.index.txt`);
    const lines = readFileSync(file, 'utf8').split('\n');
    const lifted = lines.map((line) =>
      line.split('\t')[3] === serial ? line.replace(/^R\t([^\t]*)\t[^\t]*/, 'V\t$1\t') : line,
    );
    writeFileSync(file, lifted.join('\n'));
  }

  /** Writes a CRL to a file, in DER, good for so many seconds; its path. */
  crl(file = `${this.name}.crl`, seconds = 3600): string {
    run(
      'openssl',
      ['ca', '-config', `${this.name}.cnf`, '-gencrl', '-crlsec', String(seconds), '-out', `${file}.pem`],
      this.dir,
    );
    run('openssl', ['crl', '-in', `${file}.pem`, '-outform', 'DER', '-out', `${file}.new`], this.dir);
    run('mv', [`${file}.new`, file], this.dir);
    return join(this.dir, file);
  }

  /** A certificate whose CN is the nonce, signed by this CA. */
  proofOf(nonce: string): { certificate: string } {
    this.#sign(`proof-${nonce.slice(0, 8)}`, { subject: `/CN=${nonce}` }, leafExtensions);
    return { certificate: readFileSync(join(this.dir, `proof-${nonce.slice(0, 8)}.crt`), 'utf8') };
  }
}

/** Later ones replace earlier ones of the same name; an empty value takes one out. */
function merge(defaults: readonly string[], extra: readonly string[]): string[] {
  const nameOf = (line: string) => line.slice(0, line.indexOf('='));
  const named = new Set(extra.map(nameOf));
  return [...defaults.filter((line) => !named.has(nameOf(line))), ...extra].filter(
    (line) => !line.endsWith('='),
  );
}

const configurationOf = (name: string): string => `
[ca]
default_ca = this
[this]
database = ${name}.index.txt
serial = ${name}.serial
crlnumber = ${name}.crlnumber
certificate = ${name}.crt
private_key = ${name}.key
new_certs_dir = .
default_md = ${'sha256'}
policy = anything
crl_extensions = crl
preserve = yes
[anything]
commonName = optional
serialNumber = optional
organizationName = optional
[crl]
authorityKeyIdentifier = keyid
`;
