/** Bodies of EST: base64 as clients write it, and what is none. */
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { base64Lines, csrOf } from '../../../../registry/est/body.ts';

const der = randomBytes(700);
const base64 = der.toString('base64');
const lines = (length: number, end: string) => base64.replace(new RegExp(`.{${length}}`, 'g'), `$&${end}`);
const read = (body: string, contentType: string | null = 'application/pkcs10', most = 1024) =>
  csrOf({ body, contentType }, most);

describe('the CSR in a body', () => {
  test.each([
    ['in one line', base64],
    ['in one line, ended', `${base64}\n`],
    ['in lines of 64, LF', lines(64, '\n')],
    ['in lines of 76, CRLF', lines(76, '\r\n')],
    ['in lines of 76, CR', lines(76, '\r')],
    ['indented', `  ${lines(60, '\n\t')}`],
  ])('is read %s', (_how, body) => {
    expect(read(body)).toEqual(der);
  });

  test.each(['application/pkcs10', 'Application/PKCS10 ; charset=utf-8'])('is of the type %s', (type) => {
    expect(read(base64, type)).toEqual(der);
  });

  test.each([null, '', 'application/json', 'application/pkcs10x', 'text/plain'])('is not of %s', (type) => {
    expect(() => read(base64, type)).toThrow(expect.objectContaining({ kind: 'unsupported-media-type' }));
  });

  test.each([
    ['empty', ''],
    ['white space', '\r\n \n'],
    ['PEM', `-----BEGIN CERTIFICATE REQUEST-----\n${base64}\n-----END CERTIFICATE REQUEST-----\n`],
    ['DER', der.toString('latin1')],
    ['base64url', `${base64.slice(0, -4)}-_==`],
    ['cut short', base64.slice(0, -1)],
    ['padded within', `AAA=${base64}`],
    ['over-padded', 'A==='],
  ])('is refused when it is %s', (_what, body) => {
    expect(() => read(body)).toThrow(expect.objectContaining({ kind: 'csr-malformed' }));
  });

  test('is bounded: before it is decoded, and after', () => {
    const large = expect.objectContaining({ kind: 'csr-too-large' });
    expect(read(base64, undefined, 700)).toEqual(der);
    expect(() => read(base64, undefined, 699)).toThrow(large);
    expect(() => read('!'.repeat(1024 * 1.5 + 1))).toThrow(large);
  });
});

test('an answer is in lines that no decoder refuses', () => {
  const text = base64Lines(der);
  expect(text.split('\n').every((line) => line.length <= 64)).toBe(true);
  expect(Buffer.from(text, 'base64')).toEqual(der);
  expect(base64Lines(Buffer.from('abc'))).toBe('YWJj\n');
});
