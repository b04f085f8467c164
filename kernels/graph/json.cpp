#include "graph/json.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <unordered_set>

#include <locale.h>

namespace fb::graph {

namespace {

constexpr size_t most_digits = 640;

class Parser {
  public:
    explicit Parser(std::string_view text) : text(text) {}

    Json document() {
        Json found = value(1);
        space();
        if (at < text.size()) refuse("something follows its end");
        return found;
    }

  private:
    [[noreturn]] void refuse(const std::string& why) const {
        throw Error("not JSON: " + why + " (byte " + std::to_string(at) + ")");
    }
    bool more() const { return at < text.size(); }
    char peek() const { return more() ? text[at] : '\0'; }
    void space() {
        while (more() && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r')) at++;
    }
    void need(char wanted) {
        space();
        if (peek() != wanted || !more()) refuse(std::string("'") + wanted + "' is missing");
        at++;
    }
    bool word(std::string_view wanted) {
        if (text.substr(at, wanted.size()) != wanted) return false;
        at += wanted.size();
        return true;
    }

    Json value(int depth) {
        space();
        if (!more()) refuse("it ends too early");
        Json found;
        char c = peek();
        if (c == '{' || c == '[') {
            if (depth > max_depth) refuse("nested deeper than " + std::to_string(max_depth) + " levels");
            return c == '{' ? object(depth) : list(depth);
        }
        if (c == '"') {
            found.kind = Json::string;
            found.text = string();
        } else if (word("true")) {
            found.kind = Json::boolean;
            found.number = 1;
        } else if (word("false")) {
            found.kind = Json::boolean;
        } else if (!word("null")) {
            return number();
        }
        return found;
    }

    Json list(int depth) {
        Json found;
        found.kind = Json::list;
        at++;
        space();
        if (peek() == ']') {
            at++;
            return found;
        }
        for (;;) {
            found.items.push_back(value(depth + 1));
            space();
            if (peek() == ']') break;
            need(',');
        }
        at++;
        return found;
    }

    Json object(int depth) {
        Json found;
        found.kind = Json::object;
        at++;
        space();
        bool reserved = false;
        if (peek() == '}') {
            at++;
            return found;
        }
        for (;;) {
            space();
            if (peek() != '"') refuse("a member has no name");
            std::string name = string();
            need(':');
            reserved = reserved || (!name.empty() && name[0] == '$');
            found.members.emplace_back(std::move(name), value(depth + 1));
            space();
            if (peek() == '}') break;
            need(',');
        }
        at++;
        std::unordered_set<std::string_view> names;
        for (auto& each : found.members)
            if (!names.insert(each.first).second) refuse("an object has two members of one name");
        return reserved ? unwrapped(std::move(found)) : found;
    }

    // An object with keys that start with $: a number that JSON cannot write, or keys with one $ too many.
    Json unwrapped(Json found) const {
        if (found.members.size() == 1 && found.members[0].first == "$float" &&
            found.members[0].second.kind == Json::string) {
            Json number;
            number.kind = Json::real_number;
            const std::string& name = found.members[0].second.text;
            constexpr double infinity = std::numeric_limits<double>::infinity();
            if (name == "nan") number.real = std::numeric_limits<double>::quiet_NaN();
            else if (name == "inf") number.real = infinity;
            else if (name == "-inf") number.real = -infinity;
            else refuse("an object has a reserved key");
            return number;
        }
        for (auto& each : found.members) {
            if (each.first.empty() || each.first[0] != '$') continue;
            if (each.first.size() < 2 || each.first[1] != '$') refuse("an object has a reserved key");
            each.first.erase(0, 1);
        }
        return found;
    }

    Json number() {
        size_t start = at;
        bool whole = true;
        if (peek() == '-') at++;
        size_t first = at;
        while (peek() >= '0' && peek() <= '9') at++;
        if (at == first) refuse("a value is missing");
        if (text[first] == '0' && at - first > 1) refuse("a number starts with 0");
        if (peek() == '.') {
            whole = false;
            at++;
            size_t digits = at;
            while (peek() >= '0' && peek() <= '9') at++;
            if (at == digits) refuse("a number ends with a point");
        }
        if (peek() == 'e' || peek() == 'E') {
            whole = false;
            at++;
            if (peek() == '+' || peek() == '-') at++;
            size_t digits = at;
            while (peek() >= '0' && peek() <= '9') at++;
            if (at == digits) refuse("a number has no exponent");
        }
        if (at - first > most_digits) refuse("a number has more than 640 digits");
        std::string spelled(text.substr(start, at - start));
        Json found;
        const char* end = spelled.data() + spelled.size();
        if (whole) {
            found.kind = Json::integer;
            if (std::from_chars(spelled.data(), end, found.number).ec == std::errc()) return found;
            found.kind = Json::large;
        } else {
            found.kind = Json::real_number;
        }
        static const locale_t plain = newlocale(LC_ALL_MASK, "C", nullptr);
        found.real = strtod_l(spelled.c_str(), nullptr, plain);
        if (!std::isfinite(found.real)) refuse("a number is too large");
        if (found.kind == Json::large) found.text = std::move(spelled);
        return found;
    }

    int hex() {
        int found = 0;
        for (int i = 0; i < 4; i++) {
            char c = peek();
            int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
            if (digit < 0) refuse("an escape is cut short");
            found = found * 16 + digit;
            at++;
        }
        return found;
    }

    static void append(std::string& to, int code) {
        if (code < 0x80) {
            to += static_cast<char>(code);
        } else if (code < 0x800) {
            to += static_cast<char>(0xC0 | code >> 6);
            to += static_cast<char>(0x80 | (code & 63));
        } else {
            to += static_cast<char>(0xE0 | code >> 12);
            to += static_cast<char>(0x80 | (code >> 6 & 63));
            to += static_cast<char>(0x80 | (code & 63));
        }
    }

    // The bytes of one character of UTF-8, checked: not overlong, no surrogate, nothing past U+10FFFF.
    void utf8(std::string& to) {
        auto byte = [&](size_t k) { return at + k < text.size() ? static_cast<unsigned char>(text[at + k]) : 0u; };
        unsigned c = byte(0);
        size_t length = c >= 0xC2 && c <= 0xDF ? 2 : c >= 0xE0 && c <= 0xEF ? 3 : c >= 0xF0 && c <= 0xF4 ? 4 : 0;
        if (!length) refuse("its text is not UTF-8");
        for (size_t k = 1; k < length; k++)
            if (byte(k) < 0x80 || byte(k) > 0xBF) refuse("its text is not UTF-8");
        if ((c == 0xE0 && byte(1) < 0xA0) || (c == 0xED && byte(1) > 0x9F) || (c == 0xF0 && byte(1) < 0x90) ||
            (c == 0xF4 && byte(1) > 0x8F))
            refuse("its text is not UTF-8");
        to.append(text.substr(at, length));
        at += length;
    }

    std::string string() {
        std::string found;
        at++;
        for (;;) {
            if (!more()) refuse("a text has no end");
            unsigned char c = static_cast<unsigned char>(text[at]);
            if (c == '"') break;
            if (c < 0x20) refuse("a text holds a control character");
            if (c >= 0x80) {
                utf8(found);
                continue;
            }
            at++;
            if (c != '\\') {
                found += static_cast<char>(c);
                continue;
            }
            char escaped = peek();
            at++;
            static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
            if (escaped == 'u') {
                int code = hex();
                if (code >= 0xD800 && code <= 0xDFFF) refuse("a text holds an escaped surrogate");
                append(found, code);
            } else if (const char* place = escaped ? std::strchr(from, escaped) : nullptr) {
                found += to[place - from];
            } else {
                refuse("a text holds an unknown escape");
            }
        }
        at++;
        return found;
    }

    std::string_view text;
    size_t at = 0;
};

}  // namespace

const Json* Json::find(std::string_view name) const {
    for (auto& each : members)
        if (each.first == name) return &each.second;
    return nullptr;
}

Json parse_json(std::string_view text) { return Parser(text).document(); }

std::string quoted(std::string_view text) {
    std::string made = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') {
            made += '\\';
            made += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            static const char digits[] = "0123456789abcdef";
            made += "\\u00";
            made += digits[c >> 4 & 15];
            made += digits[c & 15];
        } else {
            made += c;
        }
    }
    return made + '"';
}

std::string shown(std::string_view text) {
    std::string made;
    for (char c : text.substr(0, 60)) made += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    // Not in the middle of a character.
    if (text.size() > 60)
        while (!made.empty() && (made.back() & 0xC0) == 0x80) made.pop_back();
    return "'" + made + (text.size() > 60 ? "...'" : "'");
}

}  // namespace fb::graph
