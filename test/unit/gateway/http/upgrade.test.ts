/** The opening of a WebSocket, judged without a network. */
import { expect, test } from 'vitest';
import { acceptOf, isForMqtt, refusalOf } from '../../../../gateway/http/upgrade.ts';

const opening = (headers: Record<string, string | undefined> = {}) => ({
  method: 'GET',
  url: '/mqtt',
  httpVersion: '1.1',
  headers: {
    host: 'gateway.example:8443',
    upgrade: 'websocket',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'sec-websocket-version': '13',
    'sec-websocket-protocol': 'mqtt',
    ...headers,
  },
});

test('the answer to the key of RFC 6455, section 1.3', () => {
  expect(acceptOf('dGhlIHNhbXBsZSBub25jZQ==')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
});

test.each([
  ['/mqtt', { upgrade: 'WebSocket' }, true],
  ['/mqtt?x=1', {}, true],
  ['/mqtt/', {}, false],
  ['//mqtt', {}, false],
  ['https://gateway.example/mqtt', {}, false],
  ['/mqtt', { upgrade: 'h2c' }, false],
  ['/mqtt', { 'content-length': '0' }, false],
  ['/mqtt', { 'transfer-encoding': 'chunked' }, false],
])('%s with %j is for the WebSocket: %s', (url, headers, is) => {
  expect(isForMqtt({ ...opening(headers), url })).toBe(is);
});

test.each([
  ['no browser', undefined, true],
  ['a page of the same host', 'https://gateway.example:8443', true],
  ['a page of another port', 'https://gateway.example', false],
  ['a page of a list', 'https://app.example', true],
  ['a page of a name that begins the same', 'https://app.example.evil.example', false],
  ['a page of another scheme', 'http://app.example', false],
  ['a page without an origin', 'null', false],
  ['what is no origin', 'gateway.example:8443', false],
])('%s', (_who, origin, may) => {
  const fault = refusalOf(opening({ origin }), ['https://app.example']);
  expect(fault?.kind ?? null).toBe(may ? null : 'forbidden');
});

test('a page of the same host, but no host is named: not by default', () => {
  expect(refusalOf(opening({ host: undefined, origin: 'https://undefined' }), [])?.kind).toBe('forbidden');
});
