import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { accessibilityProblems, smallTargets } from './accessible';
import { openSite, type Site } from './site';

let site: Site;
const PASSWORD = 'a long enough password';

beforeAll(async () => {
  site = await openSite();
  const account = { email: 'asha@dabba.test', password: PASSWORD, name: 'Asha Rao' };
  await site.dabba.call(undefined, 'POST', '/v1/accounts', account);
});
afterEach(() => {
  site.front.intercept = () => false;
  return site.check();
});
afterAll(() => site.close());

async function openForm(path = '/login') {
  const page = await site.open({ path });
  const email = page.getByLabel('E-mail address');
  await email.waitFor();
  const password = page.getByLabel('Password', { exact: true });
  const submit = page.getByRole('button', { name: 'Sign in' });
  return { page, email, password, submit };
}

describe('the sign-in form', () => {
  it('signs in and leads to the next page', async () => {
    const { page, email, password } = await openForm(`/login#next=${encodeURIComponent('/?from=login')}`);
    await email.fill('asha@dabba.test');
    await password.fill(PASSWORD);
    await password.press('Enter');
    await page.waitForURL('**/?from=login');
    await page.getByRole('heading', { name: /^Hello, .?Asha Rao/ }).waitFor();
    await page.goto('/login');
    await page.getByText(/^You are signed in as .?Asha Rao/).waitFor();
    expect(await accessibilityProblems(page, 'signed in')).toEqual([]);
  });

  it('says at the field what is missing, and puts the focus there', async () => {
    const { page, email, submit } = await openForm();
    await submit.click();
    await page.getByText('Enter your e-mail address.').waitFor();
    expect(await email.getAttribute('aria-invalid')).toBe('true');
    expect(await email.evaluate((input) => input === document.activeElement)).toBe(true);
    expect(await accessibilityProblems(page, 'missing')).toEqual([]);
  });

  it('refuses a wrong password, and keeps the address', async () => {
    const { page, email, password, submit } = await openForm();
    await email.fill('asha@dabba.test');
    await password.fill('wrong');
    await submit.click();
    await page.getByText('The e-mail address or the password is wrong.').waitFor();
    expect(await email.inputValue()).toBe('asha@dabba.test');
    expect(await password.inputValue()).toBe('');
    expect(await password.evaluate((input) => input === document.activeElement)).toBe(true);
    expect(await accessibilityProblems(page, 'wrong')).toEqual([]);
  });

  it('shows and hides the password', async () => {
    const { page, password } = await openForm();
    await password.fill(PASSWORD);
    await page.getByRole('button', { name: 'Show password' }).click();
    expect(await password.getAttribute('type')).toBe('text');
    await page.getByRole('button', { name: 'Hide password' }).click();
    expect(await password.getAttribute('type')).toBe('password');
  });

  it('explains why plain HTTP from another host is refused', async () => {
    const { page, email, password, submit } = await openForm();
    await page.route('**/v1/session', (route) =>
      route.fulfill({ status: 403, json: { code: 'insecure_login', title: 'Insecure', status: 403 } }),
    );
    await email.fill('asha@dabba.test');
    await password.fill(PASSWORD);
    await submit.click();
    await page.getByText('Sign-in needs a secure connection').waitFor();
    expect(await accessibilityProblems(page, 'insecure')).toEqual([]);
  });

  it('says when to try again, and works after a lost connection', async () => {
    const { page, email, password, submit } = await openForm();
    await email.fill('asha@dabba.test');
    await password.fill(PASSWORD);
    await page.route('**/v1/session', (route) =>
      route.fulfill({
        status: 429,
        headers: { 'retry-after': '12' },
        json: { code: 'too_many_requests', title: 'Too many requests', status: 429, detail: 'Too many sign-ins.' },
      }),
    );
    await submit.click();
    await page.getByText('Try again in 12 seconds.').waitFor();
    expect(await accessibilityProblems(page, 'limited')).toEqual([]);
    await page.unroute('**/v1/session');
    site.front.disconnect();
    await submit.click();
    await page.getByText('The server cannot be reached.').waitFor();
    site.front.connect();
    await submit.click();
    await page.getByRole('heading', { name: /^Hello, .?Asha Rao/ }).waitFor();
  });

  it('has targets of at least 44 pixels', async () => {
    const { page } = await openForm();
    expect(await smallTargets(page, 44)).toEqual([]);
  });

  it.each([
    ['hi-IN', 'hi', 'ltr', 'साइन इन करें'],
    ['ar-EG', 'ar', 'rtl', 'تسجيل الدخول'],
    ['de-DE', 'en', 'ltr', 'Sign in'],
  ])('speaks the language of a browser in %s', async (locale, language, direction, title) => {
    const page = await site.open({ path: '/login', options: { locale } });
    await page.getByRole('heading', { name: title, level: 1 }).waitFor();
    expect(await page.locator('html').getAttribute('lang')).toBe(language);
    expect(await page.locator('html').getAttribute('dir')).toBe(direction);
    expect(await accessibilityProblems(page, language)).toEqual([]);
  });

  it('says so if its language cannot be loaded', async () => {
    const { page } = await openForm();
    const context = page.context();
    await context.route('**/assets/login-en-*', (route) => route.abort());
    const other = await site.open({ context, path: '/login' });
    await other.getByRole('heading', { name: 'This page could not be loaded.' }).waitFor();
    expect(await accessibilityProblems(other, 'no language')).toEqual([]);
    await context.unroute('**/assets/login-en-*');
    await other.getByRole('button', { name: 'Try again' }).click();
    await other.getByRole('heading', { name: 'Sign in' }).waitFor();
  });

  it('keeps the chosen language and appearance', async () => {
    const { page } = await openForm();
    await page.getByLabel('Language').selectOption('ar');
    await page.getByRole('heading', { name: 'تسجيل الدخول' }).waitFor();
    await page.getByLabel('المظهر').selectOption('dark');
    await page.reload();
    await page.getByRole('heading', { name: 'تسجيل الدخول' }).waitFor();
    expect(await page.locator('html').getAttribute('data-theme')).toBe('dark');
    expect(await accessibilityProblems(page, 'arabic, dark chosen')).toEqual([]);
  });
});

describe('a one-time link', () => {
  it('signs in once, and leaves no token in the address', async () => {
    const token = await site.createLink('restaurant');
    const page = await site.open({ path: `/login#${token}&next=/` });
    await page.waitForURL(`${site.origin}/`);
    await page.getByText('Your pages').waitFor();
    await page.goBack();
    expect(page.url()).not.toContain(token);

    const other = await site.open({ path: `/login#${token}&next=/` });
    await other.getByText('This link no longer works').waitFor();
    expect(other.url()).toBe(`${site.origin}/login`);
    expect(await accessibilityProblems(other, 'used link')).toEqual([]);
  });

  it('signs in when it is opened in a tab that already shows the page, and leaves no token in the address', async () => {
    const used = await site.createLink('restaurant');
    const first = await site.open({ path: `/login#${used}&next=/` });
    await first.waitForURL(`${site.origin}/`);

    const page = await site.open({ path: `/login#${used}&next=/` });
    await page.getByText('This link no longer works').waitFor();
    // The link to the content is no login link.
    await page.locator('a.skip').focus();
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.hash === '#content');
    await page.getByText('This link no longer works').waitFor();
    const fresh = await site.createLink('restaurant');
    // A whole navigation would lose this mark.
    await page.evaluate(() => document.documentElement.setAttribute('data-same', ''));
    const redeemed = page.waitForRequest((request) => request.method() === 'POST' && request.url().endsWith('/v1/session'));
    const kept = page.evaluate((hash) => {
      location.hash = hash;
      return new Promise<boolean>((resolve) => {
        addEventListener('hashchange', () => setTimeout(() => resolve(document.documentElement.hasAttribute('data-same'))));
      });
    }, `#${fresh}&next=${encodeURIComponent('/?from=link')}`);
    await redeemed;
    expect(await kept).toBe(true);
    await page.waitForURL('**/?from=link');
    await page.getByText('Your pages').waitFor();
    await page.goBack();
    expect(page.url()).not.toContain(fresh);
  });

  it('does not lead to another server', async () => {
    const token = await site.createLink('restaurant');
    const page = await site.open({ path: `/login#${token}&next=//evil.example/` });
    await page.waitForURL(`${site.origin}/`);
  });
});

describe('the console of somebody who is no admin', () => {
  it('leads to the sign-in with another account, and back', async () => {
    const page = await site.open({ role: 'restaurant', path: '/console' });
    const visited: string[] = [];
    page.on('framenavigated', (frame) => visited.push(new URL(frame.url()).pathname));
    site.front.intercept = async (request) => {
      // The sign-out takes its time: a navigation before its end would come first.
      if (request.method === 'DELETE') await new Promise((resolve) => setTimeout(resolve, 500));
      return false;
    };
    await page.getByRole('button', { name: 'Sign in with another account' }).click();
    await page.getByLabel('E-mail address').fill('asha@dabba.test');
    await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('The console is for admins').waitFor();
    await page.getByText(/You are signed in as .?asha@dabba\.test/).waitFor();
    expect(visited).not.toContain('/');
  });
});
