/** The client cases of C2SP/x509-limbo: every one that concerns a path or a leaf profile. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { Fault } from '#common/fault.ts';
import { type Certificate, readCertificate } from '#common/x509/certificate.ts';
import { validatePath } from '#common/x509/path.ts';

interface Case {
  readonly id: string;
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly validation_time: string | null;
  readonly expected_result: 'SUCCESS' | 'FAILURE';
  readonly max_chain_depth: number | null;
}

const file = new URL('../../../vectors/x509-limbo-client.json.gz', import.meta.url);
const cases = (JSON.parse(gunzipSync(readFileSync(file)).toString()) as { testcases: Case[] }).testcases;

const crl = 'about a CRL: revocation is decided elsewhere';
const host = 'about the host name that a client of the web looks for; a device has none to match';
const suffix = 'about the list of public suffixes, which bounds host names of the web';
const commonName =
  'about CN as a copy of a host name (CA/Browser Forum 7.1.4.3); the CN of a device is its id, beside a URI';

/** What is left out, and why. */
const leftOut: Readonly<Record<string, string>> = {
  'crl::revoked-certificate-with-crl': crl,
  'crl::crlnumber-missing': crl,
  'crl::certificate-not-on-crl': crl,
  'crl::certificate-serial-on-crl-different-issuer': crl,
  'crl::crlnumber-critical': crl,
  'crl::issuer-missing-crlsign': crl,
  'crl::issuer-no-keyusage-extension': crl,
  'crl::issuer-valid-crlsign-and-keycertsign': crl,
  'webpki::cn::ipv4-hex-mismatch': commonName,
  'webpki::cn::ipv4-leading-zeros-mismatch': commonName,
  'webpki::cn::ipv6-uppercase-mismatch': commonName,
  'webpki::cn::ipv6-uncompressed-mismatch': commonName,
  'webpki::cn::ipv6-non-rfc5952-mismatch': commonName,
  'webpki::cn::punycode-not-in-san': commonName,
  'webpki::cn::utf8-vs-punycode-mismatch': commonName,
  'webpki::cn::not-in-san': commonName,
  'webpki::cn::case-mismatch': commonName,
  'webpki::san::mismatch-domain-san': host,
  'webpki::san::mismatch-subdomain-san': host,
  'webpki::san::mismatch-subdomain-apex-san': host,
  'webpki::san::mismatch-apex-subdomain-san': host,
  'webpki::san::wildcard-match-across-labels-san': host,
  'webpki::san::no-san': `${host}; identity may be in the subject (serialNumber, CN), by an explicit mapping rule`,
  'webpki::san::public-suffix-wildcard-san': suffix,
  'webpki::san::public-suffix-multi-label-wildcard-san': suffix,
  'webpki::san::public-suffix-private-namespace-wildcard-san': suffix,
};

/** Counted, and judged more strictly than they expect: each contradicts a promise of this house. */
const strictOnPurpose: Readonly<Record<string, string>> = {
  'pathlen::validation-ignores-pathlen-in-leaf': 'a CA is no device; webpki::ca-as-leaf wants it refused',
  'rfc5280::ca-as-leaf': 'a CA is no device; webpki::ca-as-leaf wants it refused',
  'rfc5280::eku::ee-without-eku': 'clientAuth in so many words; webpki::eku::ee-without-eku wants it refused',
  'webpki::nc::permitted-dns-match-noncritical':
    'rfc5280::nc::permitted-dns-match-noncritical wants it refused',
};

const certificateOf = (pem: string): Certificate =>
  readCertificate(Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64'));

/** The answer, or the word of the refusal; anything thrown but a fault fails the test. */
function answer(test: Case): { trusted: boolean; problem: string } {
  try {
    const outcome = validatePath({
      leaf: certificateOf(test.peer_certificate),
      intermediates: test.untrusted_intermediates.map(certificateOf),
      anchors: test.trusted_certs.map(certificateOf),
      nowMs: Date.parse(test.validation_time ?? '2026-11-01T00:00:00Z'),
      ...(test.max_chain_depth === null ? {} : { limits: { maxDepth: test.max_chain_depth } }),
    });
    return { trusted: outcome.trusted, problem: outcome.trusted ? '' : outcome.problem };
  } catch (thrown) {
    if (!(thrown instanceof Fault) || thrown.kind !== 'certificate-malformed') throw thrown;
    return { trusted: false, problem: String(thrown.fields.problem) };
  }
}

const counted = cases.filter(({ id }) => !(id in leftOut));
const failures = counted.filter(({ expected_result }) => expected_result === 'FAILURE');

test('what is left out and what is judged more strictly exists', () => {
  const ids = new Set(cases.map(({ id }) => id));
  expect(cases.length).toBe(194);
  expect([...Object.keys(leftOut), ...Object.keys(strictOnPurpose)].filter((id) => !ids.has(id))).toEqual([]);
});

test.each(failures)('$id is refused', (each) => {
  expect(answer(each).trusted).toBe(false);
});

test('at least 97 % of all that count are right, and the others are strict on purpose', () => {
  const wrong = counted.filter((each) => answer(each).trusted !== (each.expected_result === 'SUCCESS'));
  const right = counted.length - wrong.length;
  const refused = failures.filter((each) => !answer(each).trusted).length;
  console.log(
    `x509-limbo: ${right} of ${counted.length} right (${((100 * right) / counted.length).toFixed(1)} %), ` +
      `${refused} of ${failures.length} failures refused, ${Object.keys(leftOut).length} of ${cases.length} left out`,
  );
  expect(wrong.map(({ id }) => id).sort()).toEqual(Object.keys(strictOnPurpose).sort());
  expect(right / counted.length).toBeGreaterThanOrEqual(0.97);
});
