/* SPDX-License-Identifier: MIT */
/* Comparing declarations at compile time, in C++: for cuda_abi.cc and vulkan_abi.cc. */
#ifndef ABI_H
#define ABI_H

#include <cstddef>
#include <type_traits>

template <class A, class B> constexpr bool same_kind()
{
	return sizeof(A) == sizeof(B) && std::is_pointer<A>::value == std::is_pointer<B>::value;
}

template <> constexpr bool same_kind<void, void>()
{
	return true;
}

/* Functions that may stand for each other: as many parameters, of the same sizes. */
template <class F, class G> struct alike {
	static constexpr bool all()
	{
		return false;
	}
};
template <class R, class S, class... A, class... B> struct alike<R (*)(A...), S (*)(B...)> {
	static constexpr bool all()
	{
		if constexpr (sizeof...(A) == sizeof...(B))
			return same_kind<R, S>() && (same_kind<A, B>() && ...);
		return false;
	}
};

#define SAME_FUNCTION(table, name, symbol)                                                         \
	static_assert(alike<decltype(table::name), decltype(&symbol)>::all(), #symbol);
#define SAME_SIZE(a, b) static_assert(sizeof(a) == sizeof(b), #b)
#define SAME_PLACE(a, x, b, y)                                                                     \
	static_assert(offsetof(a, x) == offsetof(b, y) && sizeof(a::x) == sizeof(b().y), #b "." #y)
#define SAME_VALUE(a, b) static_assert((long)(a) == (long)(b), #b)

#endif
