//! The programs that are refused unless a configuration allows them: crawlers, and libraries by which programs ask
//! for pages. The programs by which people look at an API (curl, Wget, HTTPie, Postman, python-requests) are none.

use std::sync::LazyLock;

use regex::{RegexSet, RegexSetBuilder};

/// Patterns of names, without regard to case.
const KNOWN: &[&str] = &[
    // Crawlers say that they are, and mostly give the address of a page about them.
    r"\b(?:ro)?bots?\b",
    r"\b(?:web)?(?:crawler|spider|scraper)s?\b",
    r"[a-z]bot[/;)]",
    r"[a-z](?:crawler|spider|scraper)[/;)]",
    // Search engines whose names have none of these words.
    r"\b(?:googlebot|google-inspectiontool|google-extended|googleother|apis-google|mediapartners-google|adsbot-google)",
    r"\b(?:bingbot|bingpreview|msnbot|adidxbot|baiduspider|yandex(?:bot|images|video|media|metrika)|duckduckbot)",
    r"\b(?:yahoo! slurp|sogou|exabot|yeti|naverbot|seznambot|petalbot|applebot|qwantify|mojeekbot|ia_archiver)",
    // Previews of social networks and of messengers.
    r"\b(?:facebookexternalhit|facebookcatalog|meta-externalagent|twitterbot|linkedinbot|pinterest(?:bot)?/)",
    r"\b(?:slackbot|telegrambot|discordbot|whatsapp/|skypeuripreview|embedly)",
    // Collectors of training data, and of figures about sites.
    r"\b(?:gptbot|chatgpt-user|oai-searchbot|claudebot|claude-web|anthropic-ai|perplexitybot|ccbot|bytespider|amazonbot)",
    r"\b(?:ahrefsbot|ahrefssiteaudit|semrushbot|siteauditbot|mj12bot|dotbot|rogerbot|blexbot|dataforseobot|barkrowler)",
    r"\b(?:screaming frog|uptimerobot|pingdom|statuscake|censysinspect|zgrab|masscan|nmap scripting|nikto|sqlmap)",
    // Libraries.
    r"^go-http-client/|\bokhttp/|^axios/|^reqwest/|\bapache-httpclient/|\bjakarta commons-httpclient/",
    r"^python-urllib/|\bscrapy/|^aiohttp/|\baiohttp/|^python-httpx/|^mechanize/",
    r"^java/\d|^node-fetch/|^undici|^got[ /(]|^superagent/|^libwww-perl/|^lwp::|^php/|^guzzlehttp/|^faraday ",
    r"^ruby$|^hyper/|^ureq/|^dart/|^httpclient|\bhttpunit/|\bhtmlunit/|\bphantomjs/|\bheadlesschrome/",
];

/// Whether a name is that of a known program.
pub(super) fn is_bot(name: &str) -> bool {
    static COMPILED: LazyLock<RegexSet> = LazyLock::new(|| {
        let set = RegexSetBuilder::new(KNOWN).case_insensitive(true).build();
        set.expect("the patterns are fixed and tested")
    });
    COMPILED.is_match(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crawlers_and_libraries_are_known() {
        for name in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
            "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
            "DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)",
            "Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)",
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "Twitterbot/1.0",
            "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
            "Mozilla/5.0 (compatible; SomeNewBot/1.0)",
            "my-crawler/0.1",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            "Go-http-client/1.1",
            "Go-http-client/2.0",
            "okhttp/4.12.0",
            "axios/1.7.2",
            "reqwest/0.12.5",
            "Apache-HttpClient/4.5.14 (Java/17.0.9)",
            "Python-urllib/3.11",
            "Scrapy/2.11 (+https://scrapy.org)",
            "libwww-perl/6.72",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36",
        ] {
            assert!(is_bot(name), "{name}");
        }
    }

    #[test]
    fn browsers_and_tools_are_not() {
        for name in [
            "",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 Chrome/140.0.0.0 Mobile Safari/537.36",
            "curl/8.5.0",
            "Wget/1.21.4",
            "python-requests/2.32.3",
            "HTTPie/3.2.2",
            "PostmanRuntime/7.39.0",
            "insomnia/9.3.2",
            "k6/1.1.0 (https://k6.io/)",
            "decK/1.4.0",
            "grpc-go/1.65.0",
            "my-service/1.0",
            "kube-probe/1.30",
            "Prometheus/2.42.0",
        ] {
            assert!(!is_bot(name), "{name}");
        }
    }
}
